import type { Sql } from '../../database/connection.ts';

/**
 * Of pg_namespace as `n`: a schema whose objects count as schema. PostgreSQL's do not, nor TimescaleDB's with its chunks,
 * nor the ledger.
 */
export function isOwnSchema(sql: Sql) {
  return sql`n.nspname not in (
      'information_schema', 'cryptosense_db', 'timescaledb_information', 'timescaledb_experimental'
    ) and n.nspname not like 'pg\\_%' and n.nspname not like '\\_timescaledb\\_%'`;
}

/** The object of `catalog` with this `oid`, a column such as `c.oid`, belongs to no extension. */
export function isNoMember(
  sql: Sql,
  { catalog, oid }: { readonly catalog: string; readonly oid: string },
) {
  return sql`not exists (
    select from pg_depend
    where classid = ${catalog}::text::regclass and objid = ${sql(oid)} and deptype = 'e'
  )`;
}

/** Of pg_class as `c`: not a chunk, which a hypertable may keep in a schema of its own. */
export function isNoChunk(sql: Sql, isTimescale: boolean) {
  return isTimescale
    ? sql`not exists (
        select from _timescaledb_catalog.chunk where schema_name = n.nspname and table_name = c.relname
      )`
    : sql`true`;
}

/** When a trigger, a rule or an event trigger fires, from its column such as `t.tgenabled`; null: as usual. */
export function firing(sql: Sql, column: string) {
  return sql`case ${sql(column)} when 'D' then 'disabled' when 'R' then 'on replicas' when 'A' then 'always' end`;
}
