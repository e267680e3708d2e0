import type { Sql } from '../../database/connection.ts';
import { compareText } from '../../runtime/order.ts';
import { hasTimescale } from '../catalog.ts';
import { factsOf } from './facts.ts';
import type { Facts, SchemaObject } from './snapshot.ts';

/** What TimescaleDB keeps of relations, by their quoted name. */
export interface TimescaleFacts {
  readonly isThere: boolean;
  readonly hypertables: ReadonlyMap<string, Facts>;
  readonly aggregates: ReadonlyMap<string, { readonly query: string; readonly facts: Facts }>;
}

/** Without TimescaleDB, nothing. */
export async function readTimescale(sql: Sql): Promise<TimescaleFacts> {
  if (!(await hasTimescale(sql))) {
    return { isThere: false, hypertables: new Map(), aggregates: new Map() };
  }
  const hypertables = await readHypertables(sql);
  return { isThere: true, hypertables, aggregates: await readAggregates(sql, hypertables) };
}

/** Those that store a continuous aggregate, too. */
async function readHypertables(sql: Sql): Promise<ReadonlyMap<string, Facts>> {
  const dimensions = await sql<
    { name: string; column: string; interval: string | null; partitions: number | null }[]
  >`
    select format('%I.%I', hypertable_schema, hypertable_name) as name, quote_ident(column_name) as column,
      coalesce(time_interval::text, integer_interval::text) as interval, num_partitions::int as partitions
    from timescaledb_information.dimensions order by 1, dimension_number`;
  const settings = await sql<
    { name: string; segmentBy: string | null; orderBy: string | null; interval: string | null }[]
  >`
    select format('%I.%I', n.nspname, c.relname) as name, segmentby as "segmentBy", orderby as "orderBy",
      compress_interval_length as interval
    from timescaledb_information.hypertable_columnstore_settings
      join pg_class c on c.oid = hypertable join pg_namespace n on n.oid = c.relnamespace`;
  const names = [...new Set(dimensions.map(({ name }) => name))];
  return new Map(
    names.map((name) => {
      const compression = settings.find((each) => each.name === name);
      return [
        name,
        factsOf({
          hypertable: dimensions
            .filter((each) => each.name === name)
            .map(({ column, interval, partitions }) =>
              interval === null
                ? `${column} in ${partitions} partitions`
                : `${column} every ${interval}`,
            ),
          compression: compression !== undefined,
          'compressed by': compression?.segmentBy,
          'compressed in order': compression?.orderBy,
          'compressed chunk interval': compression?.interval,
        }),
      ];
    }),
  );
}

async function readAggregates(
  sql: Sql,
  hypertables: TimescaleFacts['hypertables'],
): Promise<TimescaleFacts['aggregates']> {
  const rows = await sql<
    { name: string; query: string; isMaterializedOnly: boolean; store: string }[]
  >`
    select format('%I.%I', view_schema, view_name) as name, view_definition as query,
      materialized_only as "isMaterializedOnly",
      format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name) as store
    from timescaledb_information.continuous_aggregates`;
  return new Map(
    rows.map(({ name, query, isMaterializedOnly, store }) => [
      name,
      {
        query,
        facts: factsOf({ 'materialized only': isMaterializedOnly, ...hypertables.get(store) }),
      },
    ]),
  );
}

/** Policies and other jobs of TimescaleDB; its own have numbers below 1000. */
export async function readJobs(
  sql: Sql,
  { isThere }: Pick<TimescaleFacts, 'isThere'>,
): Promise<readonly SchemaObject[]> {
  if (!isThere) return [];
  const rows = await sql<
    {
      relation: string | null;
      procedure: string;
      every: string;
      isScheduled: boolean;
      isFixed: boolean;
      maxRuntime: string;
      retries: number;
      retryPeriod: string;
      check: string | null;
      timezone: string | null;
      config: Record<string, unknown> | null;
    }[]
  >`
    select
      case
        when view_name is not null then format('%I.%I', view_schema, view_name)
        when j.hypertable_name is not null then format('%I.%I', j.hypertable_schema, j.hypertable_name)
      end as relation,
      case when j.proc_schema like '\\_timescaledb\\_%' then quote_ident(j.proc_name)
        else format('%I.%I', j.proc_schema, j.proc_name) end as procedure,
      j.schedule_interval::text as every, j.scheduled as "isScheduled", j.fixed_schedule as "isFixed",
      b.timezone, j.max_runtime::text as "maxRuntime", j.max_retries::int as retries,
      j.retry_period::text as "retryPeriod",
      case when j.check_schema not like '\\_timescaledb\\_%' then format('%I.%I', j.check_schema, j.check_name) end as check,
      j.config - 'hypertable_id' - 'mat_hypertable_id' - 'compression_id' as config
    from timescaledb_information.jobs j
    left join _timescaledb_config.bgw_job b on b.id = j.job_id
    left join timescaledb_information.continuous_aggregates
      on (j.hypertable_schema, j.hypertable_name) in (
        (view_schema, view_name), (materialization_hypertable_schema, materialization_hypertable_name)
      )
    where j.job_id >= 1000`;
  const objects = rows.map((row) => ({
    kind: 'job' as const,
    name: row.relation === null ? row.procedure : `${row.procedure} on ${row.relation}`,
    facts: factsOf({
      every: row.every,
      paused: !row.isScheduled,
      'fixed schedule': row.isFixed,
      timezone: row.timezone,
      'longest run': row.maxRuntime === '00:00:00' ? null : row.maxRuntime,
      retries: row.retries,
      'retry period': row.retryPeriod,
      check: row.check,
      config: row.config && canonicalJson(row.config),
    }),
    parts: [],
  }));
  return numbered(objects);
}

/** Two jobs can have one name: with the same procedure on the same relation. */
function numbered(objects: readonly SchemaObject[]): readonly SchemaObject[] {
  const sorted = [...objects].sort((a, b) =>
    compareText(canonicalJson(a.facts), canonicalJson(b.facts)),
  );
  return sorted.map((object, index) => {
    const earlier = sorted.slice(0, index).filter(({ name }) => name === object.name).length;
    return earlier === 0 ? object : { ...object, name: `${object.name} (${earlier + 1})` };
  });
}

/** JSON with the keys of objects in order. */
function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) =>
    typeof each === 'object' && each !== null && !Array.isArray(each)
      ? Object.fromEntries(Object.entries(each).sort(([a], [b]) => compareText(a, b)))
      : each,
  );
}
