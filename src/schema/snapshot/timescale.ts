import type { Sql } from '../../database/connection.ts';
import { canonicalJson, factsOf } from './facts.ts';
import { hasTimescale } from './own.ts';
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
  return {
    isThere: true,
    hypertables: await readHypertables(sql),
    aggregates: await readAggregates(sql),
  };
}

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

async function readAggregates(sql: Sql): Promise<TimescaleFacts['aggregates']> {
  const rows = await sql<
    {
      name: string;
      query: string;
      isMaterializedOnly: boolean;
      isCompressed: boolean;
      store: string;
    }[]
  >`
    select format('%I.%I', view_schema, view_name) as name, view_definition as query,
      materialized_only as "isMaterializedOnly", compression_enabled as "isCompressed",
      format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name) as store
    from timescaledb_information.continuous_aggregates`;
  const stores = await readHypertables(sql);
  return new Map(
    rows.map(({ name, query, isMaterializedOnly, store }) => [
      name,
      { query, facts: factsOf({ 'materialized only': isMaterializedOnly, ...stores.get(store) }) },
    ]),
  );
}

/** Policies and other jobs of TimescaleDB; its own have numbers below 1000. */
export async function readJobs(sql: Sql): Promise<readonly SchemaObject[]> {
  if (!(await hasTimescale(sql))) return [];
  const rows = await sql<
    {
      relation: string | null;
      procedure: string;
      every: string;
      isScheduled: boolean;
      isFixed: boolean;
      start: string | null;
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
    canonicalJson(a.facts) < canonicalJson(b.facts) ? -1 : 1,
  );
  return sorted.map((object, index) => {
    const earlier = sorted.slice(0, index).filter(({ name }) => name === object.name).length;
    return earlier === 0 ? object : { ...object, name: `${object.name} (${earlier + 1})` };
  });
}
