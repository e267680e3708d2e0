import type { Sql } from '../database/connection.ts';
import type { Sight } from './question.ts';

export type RelationKind =
  | 'table'
  | 'partitioned table'
  | 'materialized view'
  | 'hypertable'
  | 'continuous aggregate';

/** What a relation of the server is within the table that people know. */
export type Part = 'self' | 'partition' | 'chunk' | 'compressed chunk' | 'compressed hypertable';

/**
 * CTEs, among them `shown (relation, "table", kind, part, chunk)`: each table and materialized view of the
 * database by its oid, with the name of the table that people know. Chunks, also compressed ones, belong to their
 * hypertable, what a continuous aggregate has stored to its view, and partitions to their root. `"table"` is an
 * identifier, without its schema where that is public; `kind` is a `RelationKind`, `part` a `Part`, and `chunk` the
 * number of a chunk in TimescaleDB's catalog, which every role may read. `readable` is
 * the same without tables that a session holds exclusively.
 */
export function shownRelations({
  sql,
  hasTimescale,
  held,
}: Pick<Sight, 'sql' | 'hasTimescale' | 'held'>) {
  const heldIds = JSON.stringify(held.map(({ relation }) => relation));
  return sql`
    ${hasTimescale ? timescaleParts(sql) : noParts(sql)},
    shown (relation, "table", kind, part, chunk) as (
      select
        c.oid,
        case coalesce(p.root_schema, root_space.nspname, n.nspname)
          when 'public' then ''
          else quote_ident(coalesce(p.root_schema, root_space.nspname, n.nspname)) || '.'
        end || quote_ident(coalesce(p.root_name, root.relname, c.relname)),
        coalesce(p.kind, case
          when c.relkind = 'm' then 'materialized view'
          when c.relkind = 'p' or root.oid is not null then 'partitioned table'
          else 'table'
        end),
        coalesce(p.part, case when root.oid is null then 'self' else 'partition' end),
        p.chunk
      from pg_class c
      join pg_namespace n on n.oid = c.relnamespace
      left join parts p on p.schema_name = n.nspname and p.table_name = c.relname
      left join pg_class root on c.relispartition and root.oid = pg_partition_root(c.oid)
      left join pg_namespace root_space on root_space.oid = root.relnamespace
      where c.relkind in ('r', 'm', 'p') and c.relpersistence <> 't'
        and n.nspname not in ('pg_catalog', 'information_schema')
        and (p.part is not null or n.nspname !~ '^_?timescaledb_')
    ),
    readable as (
      select * from shown
      where relation not in (select json_array_elements_text(${heldIds}::text::json)::oid)
    )`;
}

function timescaleParts(sql: Sql) {
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

function noParts(sql: Sql) {
  return sql`
    parts (schema_name, table_name, root_schema, root_name, kind, part, chunk) as (
      select null::name, null::name, null::name, null::name, null::text, null::text, null::int where false
    )`;
}
