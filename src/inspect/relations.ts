import { type TimescalePart, timescaleParts } from '../database/timescale-parts.ts';
import type { Sight } from './question.ts';

export type RelationKind =
  | 'table'
  | 'partitioned table'
  | 'materialized view'
  | 'hypertable'
  | 'continuous aggregate';

/** What a relation of the server is within the table that people know. */
export type Part = TimescalePart | 'partition';

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
    ${timescaleParts(sql, hasTimescale)},
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
