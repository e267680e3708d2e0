import type { Facts, SchemaObject } from '../snapshot/snapshot.ts';
import { block, leadingName, listOf, literal, partsOfName, textOf, unquote } from './text.ts';

/** What makes a hypertable of a table. `timescale` is the schema of TimescaleDB's functions. */
export function hypertableStatements(
  { name, facts }: SchemaObject,
  timescale: string,
): readonly string[] {
  const [first, ...others] = listOf(facts, 'hypertable').map((each) => dimension(each, timescale));
  if (first === undefined) return [];
  const now = textOf(facts, 'integer now');
  return [
    `SELECT ${timescale}.create_hypertable(${literal(name)}, ${first}, create_default_indexes => FALSE);`,
    ...others.map((each) => `SELECT ${timescale}.add_dimension(${literal(name)}, ${each});`),
    ...(now === undefined
      ? []
      : [`SELECT ${timescale}.set_integer_now_func(${literal(name)}, ${literal(now)});`]),
  ];
}

/** The interval of the chunks that store it. */
export function aggregateSettings(
  { name, facts }: SchemaObject,
  timescale: string,
): readonly string[] {
  return listOf(facts, 'hypertable').flatMap((each) => {
    const { interval } = readDimension(each);
    return interval === undefined
      ? []
      : [`SELECT ${timescale}.set_chunk_time_interval(${literal(name)}, ${length(interval)});`];
  });
}

/** The settings of compression and of chunk skipping, of a hypertable or a continuous aggregate. */
export function chunkSettings(relation: SchemaObject, timescale: string): readonly string[] {
  const { name, facts } = relation;
  const skipping = listOf(facts, 'chunk skipping').map(
    (column) =>
      `SELECT ${timescale}.enable_chunk_skipping(${literal(name)}, ${literal(unquote(column))});`,
  );
  return [
    ...compression(relation),
    ...(skipping.length === 0 ? [] : ['SET LOCAL timescaledb.enable_chunk_skipping = ON;']),
    ...skipping,
  ];
}

function compression({ kind, name, facts }: SchemaObject): readonly string[] {
  if (!facts.compression) return [];
  const sparse = facts['sparse indexes'];
  const settings = [
    ['compress_segmentby', facts['compressed by']],
    ['compress_orderby', facts['compressed in order']],
    ['compress_chunk_time_interval', facts['compressed chunk interval']],
    ['sparse_index', sparse === 'none' ? '' : sparse],
  ] as const;
  const lines = [
    'timescaledb.compress',
    ...settings.flatMap(([setting, value]) =>
      typeof value === 'string' ? [`timescaledb.${setting} = ${literal(value)}`] : [],
    ),
  ];
  const word = kind === 'view' ? 'MATERIALIZED VIEW' : 'TABLE';
  return [`ALTER ${word} ${name} SET ${block(lines)};`];
}

interface Dimension {
  /** With its quotes. */
  readonly column: string;
  readonly interval?: string;
  readonly partitions?: string;
  readonly by?: string;
}

/** `"time" every 7 days`, `device in 4 partitions by public.hash`. */
function readDimension(text: string): Dimension {
  const column = leadingName(text);
  const [rest = '', by] = text.slice(column.length).split(' by ');
  const given = by === undefined ? {} : { by };
  const partitions = / in (\d+) partitions/.exec(rest)?.[1];
  return partitions === undefined
    ? { column, interval: rest.replace(' every ', ''), ...given }
    : { column, partitions, ...given };
}

function dimension(text: string, timescale: string): string {
  const { column, interval, partitions, by } = readDimension(text);
  const size = interval === undefined ? partitions : length(interval);
  const given = [literal(unquote(column)), size, ...(by === undefined ? [] : [literal(by)])];
  return `${timescale}.${interval === undefined ? 'by_hash' : 'by_range'}(${given.join(', ')})`;
}

/** Of an integer dimension it is a number. */
function length(value: unknown): string {
  if (value === null) return 'NULL';
  const text = String(value);
  return /^-?\d+$/.test(text) ? `BIGINT '${text}'` : `INTERVAL ${literal(text)}`;
}

interface Policy {
  readonly call: string;
  /** Which keys of the job's config are which arguments. */
  readonly arguments: Readonly<Record<string, string>>;
  /** Its interval is an argument of the call; else alter_job sets it. */
  readonly takesInterval: boolean;
}

const policies: ReadonlyMap<string, Policy> = new Map([
  [
    'policy_compression',
    {
      call: 'add_compression_policy',
      arguments: {
        compress_after: 'compress_after',
        compress_created_before: 'compress_created_before',
      },
      takesInterval: true,
    },
  ],
  [
    'policy_retention',
    {
      call: 'add_retention_policy',
      arguments: { drop_after: 'drop_after', drop_created_before: 'drop_created_before' },
      takesInterval: true,
    },
  ],
  [
    'policy_refresh_continuous_aggregate',
    {
      call: 'add_continuous_aggregate_policy',
      arguments: {
        start_offset: 'start_offset',
        end_offset: 'end_offset',
        include_tiered_data: 'include_tiered_data',
        buckets_per_batch: 'buckets_per_batch',
        max_batches_per_execution: 'max_batches_per_execution',
        refresh_newest_first: 'refresh_newest_first',
      },
      takesInterval: true,
    },
  ],
  [
    'policy_reorder',
    { call: 'add_reorder_policy', arguments: { index_name: 'index_name' }, takesInterval: false },
  ],
]);

/** The arguments that are intervals, or numbers in the unit of an integer dimension. */
const lengths: ReadonlySet<string> = new Set([
  'compress_after',
  'compress_created_before',
  'drop_after',
  'drop_created_before',
  'start_offset',
  'end_offset',
]);

interface Job {
  readonly procedure: string;
  /** undefined: it belongs to no hypertable or continuous aggregate. */
  readonly relation: string | undefined;
  readonly isPolicy: boolean;
  readonly config: Readonly<Record<string, unknown>> | undefined;
}

/** `policy_retention on public.prices`, `public.clean`; a number at the end tells equal names apart. */
function readJob({ name, facts }: SchemaObject): Job {
  const procedure = leadingName(name);
  const rest = name.slice(procedure.length);
  const config = textOf(facts, 'config');
  return {
    procedure,
    relation: rest.startsWith(' on ') ? leadingName(rest.slice(4)) : undefined,
    isPolicy: partsOfName(procedure).length === 1,
    config: config === undefined ? undefined : JSON.parse(config),
  };
}

/** Releases of TimescaleDB before 2.28 compress only what a policy refreshes already. */
export function refreshesFirst(a: SchemaObject, b: SchemaObject): number {
  const rank = ({ name }: SchemaObject) =>
    name.startsWith('policy_refresh_continuous_aggregate ') ? 0 : 1;
  return rank(a) - rank(b);
}

/** Why a script cannot add this job; undefined when it can. */
export function jobProblem(object: SchemaObject): string | undefined {
  const { procedure, relation, isPolicy } = readJob(object);
  const isKnown = !isPolicy || (policies.has(procedure) && relation !== undefined);
  return isKnown ? undefined : 'no call is known that adds this policy';
}

/** Adds a policy or a job with all of its settings. */
export function jobStatements(object: SchemaObject, timescale: string): readonly string[] {
  const { facts } = object;
  const job = readJob(object);
  const policy = policies.get(job.procedure);
  if (!job.isPolicy) return [alterJob(facts, { timescale, added: addJob(facts, job, timescale) })];
  if (!policy || job.relation === undefined) return [];
  const { config = {} } = job;
  const every = `INTERVAL ${literal(String(facts.every))}`;
  const given = [
    literal(job.relation),
    ...Object.entries(policy.arguments).flatMap(([key, argument]) =>
      key in config ? [`${argument} => ${argumentText(key, config[key])}`] : [],
    ),
    ...(policy.takesInterval ? [`schedule_interval => ${every}`] : []),
  ];
  return [
    alterJob(facts, {
      timescale,
      added: call(`${timescale}.${policy.call}`, given),
      ...(policy.takesInterval ? {} : { every }),
    }),
    ...otherSettings(config, { policy, timescale }),
  ];
}

/** Settings of a policy that only alter_job takes, of the job that was added last. */
function otherSettings(
  config: Readonly<Record<string, unknown>>,
  { policy, timescale }: { readonly policy: Policy; readonly timescale: string },
): readonly string[] {
  const others = Object.entries(config).filter(([key]) => !(key in policy.arguments));
  if (others.length === 0) return [];
  const added = literal(JSON.stringify(Object.fromEntries(others)));
  return [
    [
      `SELECT FROM (SELECT job_id, config FROM timescaledb_information.jobs ORDER BY job_id DESC LIMIT 1) AS job,`,
      `    ${timescale}.alter_job(job.job_id, config => job.config || ${added});`,
    ].join('\n'),
  ];
}

function addJob(facts: Facts, { procedure, config }: Job, timescale: string): string {
  const check = textOf(facts, 'check');
  return call(`${timescale}.add_job`, [
    literal(procedure),
    `INTERVAL ${literal(String(facts.every))}`,
    ...(config === undefined ? [] : [`config => ${literal(String(facts.config))}`]),
    ...(check === undefined ? [] : [`check_config => ${literal(check)}`]),
    ...(facts['fixed schedule'] ? [] : ['fixed_schedule => FALSE']),
  ]);
}

/** The settings that the call does not take. They are all written: what is usual differs between policies and releases. */
function alterJob(
  facts: Facts,
  {
    timescale,
    added,
    every,
  }: { readonly timescale: string; readonly added: string; readonly every?: string },
): string {
  const timezone = textOf(facts, 'timezone');
  const label = textOf(facts, 'label');
  const settings = [
    added,
    ...(every === undefined ? [] : [`schedule_interval => ${every}`]),
    `max_runtime => INTERVAL ${literal(textOf(facts, 'longest run') ?? '0')}`,
    `max_retries => ${facts.retries}`,
    `retry_period => INTERVAL ${literal(String(facts['retry period']))}`,
    ...(facts['fixed schedule'] ? ['fixed_schedule => TRUE'] : []),
    ...(timezone === undefined ? [] : [`timezone => ${literal(timezone)}`]),
    ...(label === undefined ? [] : [`job_name => ${literal(label)}`]),
    ...(facts.paused ? ['scheduled => FALSE'] : []),
  ];
  return `SELECT FROM ${timescale}.alter_job${block(settings)};`;
}

function call(name: string, given: readonly string[]): string {
  return `${name}(${given.join(', ')})`;
}

function argumentText(key: string, value: unknown): string {
  if (lengths.has(key)) return length(value);
  return typeof value === 'string' ? literal(value) : String(value).toUpperCase();
}
