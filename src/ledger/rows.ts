import {
  quoteIdentifier,
  quoteLiteral,
  type Session,
  type Sql,
  withTransaction,
} from '../database/connection.ts';
import { isConnectionLost, isSqlError } from '../database/sql-errors.ts';

/** Tables of the packaged schema in which a production database has rows. */
export const tablesInUse: readonly string[] = ['users', 'assets', 'price_history'];

interface FoundTable {
  readonly schema: string;
  readonly name: string;
  readonly isReadable: boolean;
}

/**
 * Which tables have rows that may be production data: one fact a table, and none for a database without such rows.
 * Looks into those of schema public that `tables` lists, or into every table of any schema that no extension owns; with
 * `besides: 'migrations'`, for rows that no recorded migration has written in its transaction. A table that cannot be
 * read counts as one with rows. Call it before the session's search path is changed.
 */
export async function findRows(
  { sql }: Session,
  {
    tables: names,
    besides,
  }: { readonly tables?: readonly string[]; readonly besides?: 'migrations' | undefined },
): Promise<readonly string[]> {
  const found = await listTables(sql);
  const tables = names
    ? found.filter(({ schema, name }) => schema === 'public' && names.includes(name))
    : found;
  // The history row of a migration has the transaction of the rows that the migration wrote.
  const where =
    besides === 'migrations'
      ? 'where xmin not in (select xmin from cryptosense_db.migrations)'
      : '';
  const hidden = tables.filter(({ isReadable }) => !isReadable);
  const readable = tables.filter(({ isReadable }) => isReadable);
  const facts = await lookInto(sql, { tables: readable, where });
  return [...facts, ...hidden.map((table) => `this role cannot see all rows of ${nameOf(table)}`)];
}

/** An SQL condition: the relation `c` in the schema `n` belongs to no extension. */
export function ofNoExtension(sql: Sql) {
  return sql`not exists (
    select from pg_depend
    where deptype = 'e' and (
      classid = 'pg_class'::regclass and objid = c.oid
      or classid = 'pg_namespace'::regclass and objid = n.oid
    )
  )`;
}

async function listTables(sql: Sql): Promise<readonly FoundTable[]> {
  return sql<FoundTable[]>`
    select nspname as schema, relname as name,
      has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
        and not row_security_active(c.oid) as "isReadable"
    from pg_class c join pg_namespace n on n.oid = relnamespace
    where relkind in ('r', 'p') and not relispartition
      and nspname !~ '^pg_' and nspname not in ('information_schema', 'cryptosense_db')
      and ${ofNoExtension(sql)}
    order by nspname <> 'public', nspname, relname`;
}

/** What the tables hold, one fact a table; one fact for all of them where a lock or a limit of the role ends the look. */
async function lookInto(
  sql: Sql,
  { tables, where }: { readonly tables: readonly FoundTable[]; readonly where: string },
): Promise<readonly string[]> {
  if (tables.length === 0) return [];
  const looks = tables.map(
    (table) =>
      `select ${quoteLiteral(nameOf(table))} as name where exists (
        select from ${quoteIdentifier(table.schema, table.name)} ${where}
      )`,
  );
  return withTransaction(sql, async () => {
    await sql.unsafe(`set local lock_timeout = '5s'`);
    const rows = await sql.unsafe<{ name: string }[]>(looks.join(' union all '));
    return rows.map(({ name }) => `there are rows in ${name}`);
  }).catch((error: unknown) => {
    if (!isSqlError(error) || isConnectionLost(error)) throw error;
    return [`the server does not show what the tables hold: ${error.message}`];
  });
}

function nameOf({ schema, name }: FoundTable): string {
  return schema === 'public' ? name : `${schema}.${name}`;
}
