import type { Sql } from '../database/connection.ts';
import { isSameRun, type Writer } from './history.ts';
import type { JournalEntry } from './ledger.ts';
import type { Version } from './version.ts';

/** Before a statement of a file without a transaction: that it is about to run. */
export function journalStart(sql: Sql, entry: Omit<JournalEntry, 'isFinished'>, writer: Writer) {
  const { version, direction, position, checksum } = entry;
  return sql`
    insert into cryptosense_db.migration_journal (version, direction, position, checksum)
    select ${version}::text, ${direction}::text, ${position}::integer, ${checksum}::text
    where ${sql.unsafe(isSameRun(writer))}
    on conflict (version, direction, position)
      do update set checksum = excluded.checksum, started_at = clock_timestamp()
    returning position`;
}

/** After it: that it has run. */
export function journalFinish(sql: Sql, entry: Omit<JournalEntry, 'isFinished'>, writer: Writer) {
  const { version, direction, position } = entry;
  return sql`
    update cryptosense_db.migration_journal set finished_at = clock_timestamp()
    where version = ${version} and direction = ${direction} and position = ${position}
      and ${sql.unsafe(isSameRun(writer))}
    returning position`;
}

/** The statement was refused before it did anything: as if it had not been begun. */
export function journalWithdraw(sql: Sql, entry: Omit<JournalEntry, 'isFinished'>) {
  const { version, direction, position } = entry;
  return sql`
    delete from cryptosense_db.migration_journal
    where version = ${version} and direction = ${direction} and position = ${position}
      and finished_at is null`;
}

/** Ends the journal of a file whose run has come to its end. */
export function journalClear(sql: Sql, version: Version) {
  return sql`delete from cryptosense_db.migration_journal where version = ${version}`;
}
