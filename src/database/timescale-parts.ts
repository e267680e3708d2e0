import type { Sql } from './client.ts';

/** What a relation is within the hypertable or the continuous aggregate that people know. */
export type TimescalePart = 'self' | 'chunk' | 'compressed chunk' | 'compressed hypertable';

/**
 * CTEs, the last of them `parts (schema_name, table_name, root_schema, root_name, kind, part, chunk)`: each relation that
 * TimescaleDB keeps rows in, with the hypertable or the view of the continuous aggregate that it belongs to. `kind` is
 * `hypertable` or `continuous aggregate`, `part` a `TimescalePart`, and `chunk` the number of a chunk in TimescaleDB's
 * catalog. The catalog may be read by every role. Empty without TimescaleDB.
 */
export function timescaleParts(sql: Sql, hasTimescale: boolean) {
  if (!hasTimescale) {
    return sql`
      parts (schema_name, table_name, root_schema, root_name, kind, part, chunk) as (
        select null::name, null::name, null::name, null::name, null::text, null::text, null::int where false
      )`;
  }
  return sql`
    hypertables as (
      select h.id, h.schema_name, h.table_name, h.compressed_hypertable_id,
        coalesce(v.user_view_schema, h.schema_name) as root_schema,
        coalesce(v.user_view_name, h.table_name) as root_name,
        case when v.mat_hypertable_id is null then 'hypertable' else 'continuous aggregate' end as kind
      from _timescaledb_catalog.hypertable h
      left join _timescaledb_catalog.continuous_agg v on v.mat_hypertable_id = h.id
      -- 2: it holds the compressed chunks of another one.
      where h.compression_state <> 2
    ),
    parts as (
      select schema_name, table_name, root_schema, root_name, kind, 'self' as part, null::int as chunk
      from hypertables
      union all
      select c.schema_name, c.table_name, h.root_schema, h.root_name, h.kind, 'chunk', c.id
      from _timescaledb_catalog.chunk c join hypertables h on h.id = c.hypertable_id
      union all
      select c.schema_name, c.table_name, h.root_schema, h.root_name, h.kind, 'compressed chunk', c.id
      from _timescaledb_catalog.chunk c join hypertables h on h.compressed_hypertable_id = c.hypertable_id
      union all
      select z.schema_name, z.table_name, h.root_schema, h.root_name, h.kind, 'compressed hypertable', null
      from _timescaledb_catalog.hypertable z join hypertables h on h.compressed_hypertable_id = z.id
    )`;
}
