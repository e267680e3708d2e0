import type { Sql } from '../../database/connection.ts';
import { compareText } from '../../runtime/order.ts';
import { hasTimescale } from '../catalog.ts';
import { factsOf } from './facts.ts';
import { normalizeExpression } from './normalize.ts';
import type { Facts, Part, SchemaObject } from './snapshot.ts';

/** What TimescaleDB keeps of relations, by their quoted name. */
export interface TimescaleFacts {
  readonly isThere: boolean;
  readonly hypertables: ReadonlyMap<string, Facts>;
  readonly aggregates: ReadonlyMap<
    string,
    { readonly query: string; readonly facts: Facts; readonly indexes: readonly Part[] }
  >;
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
    {
      name: string;
      column: string;
      interval: string | null;
      partitions: number | null;
      by: string | null;
      now: string | null;
    }[]
  >`
    select format('%I.%I', h.schema_name, h.table_name) as name, quote_ident(d.column_name) as column,
      coalesce(i.time_interval::text, i.integer_interval::text) as interval, d.num_slices::int as partitions,
      case when d.partitioning_func_schema not like '\\_timescaledb\\_%'
        then format('%I.%I', d.partitioning_func_schema, d.partitioning_func) end as by,
      case when d.integer_now_func <> ''
        then format('%I.%I', d.integer_now_func_schema, d.integer_now_func) end as now
    from timescaledb_information.dimensions i
      join _timescaledb_catalog.hypertable h on (h.schema_name, h.table_name) = (hypertable_schema, hypertable_name)
      join _timescaledb_catalog.dimension d on d.hypertable_id = h.id and d.column_name = i.column_name
    order by 1, dimension_number`;
  const settings = await sql<
    {
      name: string;
      segmentBy: string | null;
      orderBy: string | null;
      interval: string | null;
      sparse: string | null;
    }[]
  >`
    select format('%I.%I', n.nspname, c.relname) as name, segmentby as "segmentBy", orderby as "orderBy",
      compress_interval_length as interval,
      (
        -- Those that were asked for: bloom(b), minmax(c). One without a type says that there are none.
        select coalesce(string_agg(format('%s(%s)', i ->> 'type', (
          select string_agg(quote_ident(name), ', ' order by place)
          from jsonb_array_elements_text(case jsonb_typeof(i -> 'column') when 'array' then i -> 'column'
            else jsonb_build_array(i -> 'column') end) with ordinality as c (name, place)
        )), ', ' order by place) filter (where i ->> 'type' is not null), 'none')
        -- Releases before 2.22 have no such column.
        from jsonb_array_elements(nullif(to_jsonb(s) -> 'index', 'null')) with ordinality as x (i, place)
        where i ->> 'source' = 'config' having count(*) > 0
      ) as sparse
    from timescaledb_information.hypertable_columnstore_settings s
      join pg_class c on c.oid = hypertable join pg_namespace n on n.oid = c.relnamespace
    -- The view lists each continuous aggregate, with compression or not.
    where (n.nspname, c.relname) in (
      select hypertable_schema, hypertable_name from timescaledb_information.hypertables
      where compression_enabled
      union all
      select materialization_hypertable_schema, materialization_hypertable_name
      from timescaledb_information.continuous_aggregates where compression_enabled
    )`;
  const skipping = await sql<{ name: string; columns: readonly string[] }[]>`
    select format('%I.%I', schema_name, table_name) as name,
      array_agg(quote_ident(column_name) order by column_name collate "C") as columns
    from _timescaledb_catalog.chunk_column_stats s join _timescaledb_catalog.hypertable h on h.id = s.hypertable_id
    -- Of no chunk: earlier releases write 0.
    where coalesce(s.chunk_id, 0) = 0 group by 1`;
  const names = [...new Set(dimensions.map(({ name }) => name))];
  return new Map(
    names.map((name) => {
      const compression = settings.find((each) => each.name === name);
      return [
        name,
        factsOf({
          hypertable: dimensions
            .filter((each) => each.name === name)
            .map(
              ({ column, interval, partitions, by }) =>
                (interval === null
                  ? `${column} in ${partitions} partitions`
                  : `${column} every ${interval}`) + (by === null ? '' : ` by ${by}`),
            ),
          'integer now': dimensions.find((each) => each.name === name)?.now,
          compression: compression !== undefined,
          'compressed by': compression?.segmentBy,
          'compressed in order': compression?.orderBy,
          'compressed chunk interval': compression?.interval,
          'sparse indexes': compression?.sparse,
          'chunk skipping': skipping.find((each) => each.name === name)?.columns,
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
  const indexes = await readAggregateIndexes(sql);
  return new Map(
    rows.map(({ name, query, isMaterializedOnly, store }) => [
      name,
      {
        query,
        facts: factsOf({ 'materialized only': isMaterializedOnly, ...hypertables.get(store) }),
        indexes: indexes
          .filter((index) => index.store === store)
          .map(({ index, definition, comment }) => ({
            kind: 'index',
            name: index,
            facts: factsOf({
              definition: normalizeExpression(
                definition.replace(` ON ${store} USING `, ` ON ${name} USING `),
              ),
              comment,
            }),
          })),
      },
    ]),
  );
}

/** Of continuous aggregates, without those that TimescaleDB makes and names by a number of its own. */
async function readAggregateIndexes(
  sql: Sql,
): Promise<
  readonly { store: string; index: string; definition: string; comment: string | null }[]
> {
  return sql`
    select format('%I.%I', n.nspname, c.relname) as store, quote_ident(i.relname) as index,
      pg_get_indexdef(i.oid, 0, true) as definition, obj_description(i.oid, 'pg_class') as comment
    from timescaledb_information.continuous_aggregates
      join pg_namespace n on n.nspname = materialization_hypertable_schema
      join pg_class c on c.relnamespace = n.oid and c.relname = materialization_hypertable_name
      join pg_index x on x.indrelid = c.oid join pg_class i on i.oid = x.indexrelid
    where not starts_with(i.relname, c.relname)
    order by i.relname collate "C"`;
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
      label: string | null;
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
      -- The number of the job follows. The usual names of policies differ between releases.
      (
        select label from regexp_replace(j.application_name, ' \\[\\d+\\]$', '') as label
        where case when j.proc_schema like '\\_timescaledb\\_%' then label !~ ' Policy$' else label <> 'User-Defined Action' end
      ) as label,
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
      label: row.label,
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
