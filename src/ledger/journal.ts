import type { Sql } from '../database/connection.ts';
import { isSameRun, type TransactionTag, type Writer } from './history.ts';
import type { JournalEntry } from './ledger.ts';
import type { Version } from './version.ts';

/** A statement's row, as a run writes it. */
export type JournalRow = Omit<JournalEntry, 'isFinished' | 'startedAt'>;

// These statements run under the search path that a file has set. Therefore functions, operators and types are named
// with their schema.

/** The journal of a file whose run has not finished; empty for every other. */
export function readJournal(sql: Sql, { version, direction }: TransactionTag) {
  return sql<JournalEntry[]>`
    select
      version, direction, position, checksum, finished_at is not null as "isFinished",
      started_at as "startedAt"
    from cryptosense_db.migration_journal
    where version operator(pg_catalog.=) ${version} and direction operator(pg_catalog.=) ${direction}`;
}

/** Records that a statement is about to run. Returns no row when this is not the session of the run any more. */
export function journalStart(sql: Sql, entry: JournalRow, writer: Writer) {
  const { version, direction, position, checksum } = entry;
  return sql`
    insert into cryptosense_db.migration_journal (version, direction, position, checksum)
    select ${version}::pg_catalog.text, ${direction}::pg_catalog.text,
      ${position}::pg_catalog.int4, ${checksum}::pg_catalog.text
    where ${sql.unsafe(isSameRun(writer))}
    on conflict (version, direction, position)
      do update set checksum = excluded.checksum, started_at = pg_catalog.clock_timestamp()
    returning position`;
}

/** Records that the statement has run. Returns no row when this is not the session of the run any more. */
export function journalFinish(sql: Sql, entry: JournalRow, writer: Writer) {
  const { version, direction, position } = entry;
  return sql`
    update cryptosense_db.migration_journal set finished_at = pg_catalog.clock_timestamp()
    where version operator(pg_catalog.=) ${version} and direction operator(pg_catalog.=) ${direction}
      and position operator(pg_catalog.=) ${position}
      and ${sql.unsafe(isSameRun(writer))}
    returning position`;
}

/** Gives the entry of an interrupted statement its place in a file that was edited since. */
export function journalMove(sql: Sql, entry: JournalRow, { to }: { readonly to: number }) {
  const { version, direction, position } = entry;
  return sql`
    update cryptosense_db.migration_journal set position = ${to}
    where version operator(pg_catalog.=) ${version} and direction operator(pg_catalog.=) ${direction}
      and position operator(pg_catalog.=) ${position}`;
}

/** Removes the entry of a statement that failed and left nothing in the database. */
export function journalWithdraw(sql: Sql, entry: JournalRow) {
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
