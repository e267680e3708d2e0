import { quoteIdentifier, type Session, type Sql } from '../database/connection.ts';
import { isLockConflict } from '../database/lock.ts';
import { type FailedAttempt, retry } from '../runtime/retry.ts';

/** The number of row versions by table that a transaction has made obsolete. */
export type Obsolete = ReadonlyMap<string, number>;

/** What has become obsolete so far in the server's statistics of this transaction, cascades included. */
export async function countObsolete(sql: Sql): Promise<Obsolete> {
  const rows = await sql<{ table: string; count: number }[]>`
    select relname as table, (n_tup_upd + n_tup_del)::float8 as count
    from pg_catalog.pg_stat_xact_user_tables where schemaname = 'public'`;
  return new Map(rows.map(({ table, count }) => [table, count]));
}

/** Adds what became obsolete between two counts. */
export function addObsolete(
  sum: Map<string, number>,
  { from, to }: { readonly from: Obsolete; readonly to: Obsolete },
): void {
  for (const [table, count] of to) {
    const added = count - (from.get(table) ?? 0);
    if (added > 0) sum.set(table, (sum.get(table) ?? 0) + added);
  }
}

/** In a table of fewer rows the space does not matter. */
const leastObsolete = 1_000;

/** Whether the obsolete row versions of a table are at least half as many as its rows. */
export function isBloated({
  written,
  obsolete,
}: {
  readonly written: number;
  readonly obsolete: number;
}): boolean {
  return obsolete >= leastObsolete && obsolete * 2 >= written;
}

interface Filled {
  readonly table: string;
  /** Rows that the seeder wrote, or found as they should be. */
  readonly written: number;
  readonly obsolete: number;
}

/**
 * Gives the planner statistics of a table that a seeder has filled, and rewrites the table where most of it is
 * obsolete: one transaction cannot reuse the space of rows that it deletes. Leaves out a large table in which a few rows
 * are new. Call it outside a transaction. Notes what it could not do.
 */
export async function tidy(
  { sql }: Session,
  filled: Filled,
  { note }: { readonly note: (line: string) => void },
): Promise<void> {
  const { table, written } = filled;
  const facts = await readFacts(sql, table);
  if (facts === undefined || written * 10 < facts.rows) return;
  const name = quoteIdentifier('public', table);
  if (!facts.isMine) {
    note(`${table} has no new statistics: only ${facts.owner} may analyze it`);
    return;
  }
  const isRewritten = isBloated(filled) && (await waitForSnapshots(sql));
  // A load may have taken longer than a role's settings allow for a statement.
  await sql.unsafe(`set statement_timeout = 0; set lock_timeout = '5s'`);
  let isInUse = isBloated(filled) && !isRewritten;
  try {
    await sql.unsafe(`${isRewritten ? 'vacuum (full, analyze)' : 'analyze'} ${name}`);
  } catch (error) {
    if (!isLockConflict(error)) throw error;
    isInUse = true;
  } finally {
    await sql.unsafe('reset statement_timeout; reset lock_timeout').catch(() => {});
  }
  if (isInUse) note(`${table} is in use; when it is not, run: vacuum (full, analyze) ${table}`);
}

const snapshotWaitMs = 2_000;
const stillSeen = new Error('another session can see obsolete rows');

/**
 * Waits until no other session of the database can see what was obsolete before, because a rewrite keeps what a session
 * can see. False when one still can.
 */
async function waitForSnapshots(sql: Sql): Promise<boolean> {
  const [{ mark }] = await sql<[{ mark: string }]>`select pg_current_xact_id()::xid::text as mark`;
  const look = async () => {
    const older = await sql`
      select from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid()
        and age(backend_xmin) > age(${mark}::text::xid)`;
    if (older.length > 0) throw stillSeen;
  };
  const waitMs = ({ error, elapsedMs }: FailedAttempt) =>
    error === stillSeen && elapsedMs < snapshotWaitMs ? 20 : undefined;
  return retry(look, { waitMs }).then(
    () => true,
    (error: unknown) => {
      if (error !== stillSeen) throw error;
      return false;
    },
  );
}

/** Undefined for a name that no table of schema public has. `rows` is the planner's estimate, chunks included. */
async function readFacts(
  sql: Sql,
  table: string,
): Promise<
  { readonly rows: number; readonly owner: string; readonly isMine: boolean } | undefined
> {
  const [facts] = await sql<{ rows: number; owner: string; isMine: boolean }[]>`
    select pg_get_userbyid(c.relowner) as owner,
      pg_has_role(c.relowner, 'usage') or pg_has_role(d.datdba, 'usage') as "isMine",
      greatest(c.reltuples, 0) + (
        select coalesce(sum(greatest(part.reltuples, 0)), 0)
        from pg_inherits join pg_class part on part.oid = inhrelid where inhparent = c.oid
      ) as rows
    from pg_class c join pg_database d on d.datname = current_database()
    where c.relnamespace = 'public'::regnamespace and c.relname = ${table} and c.relkind in ('r', 'p')`;
  return facts;
}
