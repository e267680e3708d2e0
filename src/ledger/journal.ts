import type { Sql } from '../database/connection.ts';
import { isSameRun, type TransactionTag, type Writer } from './history.ts';
import type { JournalEntry } from './ledger.ts';
import type { Version } from './version.ts';

/** An entry with what its statement may leave when it is interrupted; undefined where no run can tell. */
export type JournalledStatement<R> = JournalEntry & { readonly remains: R | undefined };

/** A statement's row, as a run writes it. */
export type JournalRow<R> = Omit<JournalledStatement<R>, 'isFinished' | 'startedAt'>;

/** What names a row of the journal. */
type JournalKey = Pick<JournalEntry, 'version' | 'direction' | 'position'>;

// These statements run under the search path that a file has set. Therefore functions, operators and types are named
// with their schema.

/** The journal of a file whose run has not finished; empty for every other. */
export async function readJournal<R>(
  sql: Sql,
  { version, direction }: TransactionTag,
): Promise<readonly JournalledStatement<R>[]> {
  const rows = await sql<(JournalEntry & { readonly remains: R | null })[]>`
    select
      version, direction, position, checksum, finished_at is not null as "isFinished",
      started_at as "startedAt", remains
    from cryptosense_db.migration_journal
    where version operator(pg_catalog.=) ${version} and direction operator(pg_catalog.=) ${direction}`;
  return rows.map((row) => ({ ...row, remains: row.remains ?? undefined }));
}

/** Records that a statement is about to run. Returns no row when this is not the session of the run any more. */
export function journalStart<R>(sql: Sql, entry: JournalRow<R>, writer: Writer) {
  const { version, direction, position, checksum } = entry;
  const remains = entry.remains === undefined ? null : JSON.stringify(entry.remains);
  return sql`
    insert into cryptosense_db.migration_journal (version, direction, position, checksum, remains)
    select ${version}::pg_catalog.text, ${direction}::pg_catalog.text,
      ${position}::pg_catalog.int4, ${checksum}::pg_catalog.text,
      ${remains}::pg_catalog.text::pg_catalog.jsonb
    where ${sql.unsafe(isSameRun(writer))}
    on conflict (version, direction, position)
      do update set checksum = excluded.checksum, remains = excluded.remains,
        started_at = pg_catalog.clock_timestamp()
    returning position`;
}

/** Records that the statement has run. Returns no row when this is not the session of the run any more. */
export function journalFinish(sql: Sql, entry: JournalKey, writer: Writer) {
  const { version, direction, position } = entry;
  return sql`
    update cryptosense_db.migration_journal set finished_at = pg_catalog.clock_timestamp()
    where version operator(pg_catalog.=) ${version} and direction operator(pg_catalog.=) ${direction}
      and position operator(pg_catalog.=) ${position}
      and ${sql.unsafe(isSameRun(writer))}
    returning position`;
}

/** Gives the entry of an interrupted statement its place in a file that was edited since. */
export function journalMove(sql: Sql, entry: JournalKey, { to }: { readonly to: number }) {
  const { version, direction, position } = entry;
  return sql`
    update cryptosense_db.migration_journal set position = ${to}
    where version operator(pg_catalog.=) ${version} and direction operator(pg_catalog.=) ${direction}
      and position operator(pg_catalog.=) ${position}`;
}

/** Removes the entry of a statement that failed and left nothing in the database. */
export function journalWithdraw(sql: Sql, entry: JournalKey) {
  const { version, direction, position } = entry;
  return sql`
    delete from cryptosense_db.migration_journal
    where version operator(pg_catalog.=) ${version} and direction operator(pg_catalog.=) ${direction}
      and position operator(pg_catalog.=) ${position} and finished_at is null`;
}

/** Removes the entries of a file whose run has finished. */
export function journalClear(sql: Sql, version: Version) {
  return sql`delete from cryptosense_db.migration_journal where version operator(pg_catalog.=) ${version}`;
}
