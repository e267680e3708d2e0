import {
  quoteIdentifier,
  quoteLiteral,
  type Session,
  type Sql,
  withTransaction,
} from '../database/connection.ts';
import { isConnectionLost, isSqlError } from '../database/sql-errors.ts';

/** Tables of the packaged schema in which a production database has rows. */
const tablesInUse: ReadonlySet<string> = new Set(['users', 'assets', 'price_history']);

/**
 * Which rows count in a database without a mark: those of the packaged schema's main tables, or all that no migration
 * has written, of materialized views and continuous aggregates too, and large objects.
 */
export type RowsThatCount = 'tables in use' | 'all';

interface FoundTable {
  readonly schema: string;
  readonly name: string;
  /** For messages. */
  readonly shown: string;
  readonly isReadable: boolean;
}

/**
 * Which tables have rows that may be production data: one fact a table, and none for a database without such rows. A
 * table that cannot be read counts as one with rows. Call it before the session's search path is changed.
 */
export async function findRows(
  { sql }: Session,
  { count, hasLedger }: { readonly count: RowsThatCount; readonly hasLedger: boolean },
): Promise<readonly string[]> {
  const isAll = count === 'all';
  const tables = isAll
    ? [...(await listTables(sql)), ...(await listAggregates(sql))]
    : (await listTables(sql)).filter(
        ({ schema, name }) => schema === 'public' && tablesInUse.has(name),
      );
  const hidden = tables.filter(({ isReadable }) => !isReadable);
  const readable = tables.filter(({ isReadable }) => isReadable);
  return [
    ...(await lookInto(sql, {
      tables: readable,
      where: isAll && hasLedger ? notOfMigrations : '',
    })),
    ...hidden.map(({ shown }) => `this role cannot see all rows of ${shown}`),
    ...(isAll ? await findLargeObjects(sql) : []),
  ];
}

/**
 * The history row of a migration has the transaction of the rows that the migration wrote. A restore in one transaction
 * gives all rows that one, the row of `ledger` too, which no migration writes.
 */
const notOfMigrations = `where xmin not in (
  select m.xmin from cryptosense_db.migrations m
  where m.xmin not in (select l.xmin from cryptosense_db.ledger l)
)`;

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
      case nspname when 'public' then relname else nspname || '.' || relname end as shown,
      has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
        and not row_security_active(c.oid) as "isReadable"
    from pg_class c join pg_namespace n on n.oid = relnamespace
    where (relkind in ('r', 'p') and not relispartition or relkind = 'm' and relispopulated)
      and nspname !~ '^pg_' and nspname not in ('information_schema', 'cryptosense_db')
      and ${ofNoExtension(sql)}
    order by nspname <> 'public', nspname, relname`;
}

/** The hypertables of continuous aggregates: their candles stay when the prices are dropped. */
async function listAggregates(sql: Sql): Promise<readonly FoundTable[]> {
  const [{ isThere }] = await sql<[{ isThere: boolean }]>`
    select to_regclass('timescaledb_information.continuous_aggregates') is not null as "isThere"`;
  if (!isThere) return [];
  return sql<FoundTable[]>`
    select materialization_hypertable_schema as schema, materialization_hypertable_name as name,
      case view_schema when 'public' then view_name else view_schema || '.' || view_name end as shown,
      has_table_privilege(c.oid, 'select') as "isReadable"
    from timescaledb_information.continuous_aggregates
    join pg_namespace n on n.nspname = materialization_hypertable_schema
    join pg_class c on c.relnamespace = n.oid and c.relname = materialization_hypertable_name
    order by shown`;
}

async function findLargeObjects(sql: Sql): Promise<readonly string[]> {
  const [{ areThere }] = await sql<[{ areThere: boolean }]>`
    select exists (select from pg_largeobject_metadata) as "areThere"`;
  return areThere ? ['there are large objects'] : [];
}

/** What the tables hold, one fact a table; one fact for all of them where a lock or a limit of the role ends the look. */
async function lookInto(
  sql: Sql,
  { tables, where }: { readonly tables: readonly FoundTable[]; readonly where: string },
): Promise<readonly string[]> {
  if (tables.length === 0) return [];
  const looks = tables.map(
    ({ schema, name, shown }) =>
      `select ${quoteLiteral(shown)} as name where exists (
        select from ${quoteIdentifier(schema, name)} ${where}
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
