import { quoteLiteral, type Sql } from '../database/connection.ts';
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

/**
 * A statement that records that a statement is about to run. It returns no row when this is not the session of the run
 * any more.
 */
export function journalStart<R>(entry: JournalRow<R>, writer: Writer): string {
  const { version, direction, position, checksum } = entry;
  const remains =
    entry.remains === undefined ? 'null' : quoteLiteral(JSON.stringify(entry.remains));
  return `
    insert into cryptosense_db.migration_journal (version, direction, position, checksum, remains)
    select ${quoteLiteral(version)}, ${quoteLiteral(direction)}, ${position}, ${quoteLiteral(checksum)},
      ${remains}::pg_catalog.jsonb
    where ${isSameRun(writer)}
    on conflict (version, direction, position)
      do update set checksum = excluded.checksum, remains = excluded.remains,
        started_at = pg_catalog.clock_timestamp()
    returning position`;
}

/**
 * A statement that records that the statement has run. It returns no row when this is not the session of the run any
 * more.
 */
export function journalFinish(entry: JournalKey, writer: Writer): string {
  const { version, direction, position } = entry;
  return `
    update cryptosense_db.migration_journal set finished_at = pg_catalog.clock_timestamp()
    where version operator(pg_catalog.=) ${quoteLiteral(version)}
      and direction operator(pg_catalog.=) ${quoteLiteral(direction)}
      and position operator(pg_catalog.=) ${position}
      and ${isSameRun(writer)}
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

/** An SQL expression for pg_catalog as the search path: when the first journalled statement started; now without one. */
export function journalledSince({ version, direction }: TransactionTag): string {
  return `coalesce((
        select min(started_at) from cryptosense_db.migration_journal
        where version = ${quoteLiteral(version)} and direction = ${quoteLiteral(direction)}
      ), clock_timestamp())`;
}

/** A statement that removes the entries of a file whose run has finished. */
export function journalClear(version: Version): string {
  return `
    delete from cryptosense_db.migration_journal
    where version operator(pg_catalog.=) ${quoteLiteral(version)}`;
}
