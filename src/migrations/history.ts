import type { Sql } from '../database/connection.ts';
import { holdsMigrationLock } from '../database/lock.ts';
import { sqlErrorCodes, sqlState } from '../database/sql-errors.ts';
import type { Direction } from '../progress.ts';
import type { Checksum, MigrationPair } from './source.ts';
import type { Version } from './version.ts';

/** Who writes, for the columns that say so. */
export interface Writer {
  readonly pid: number;
  readonly toolVersion: string;
}

/** Whose transaction it is. */
export interface TransactionMark {
  readonly version: Version;
  readonly direction: Direction;
}

/**
 * To be run at the start of a transaction that a step runs in, and looked at before its history row
 * is written: a COMMIT that slipped through has cleared the mark, and the transaction of another
 * step bears another one.
 */
export function markTransaction(mark: TransactionMark): string {
  return `
  select
    set_config('cryptosense_db.transaction', pg_current_xact_id()::text || ':${nameOfMark(mark)}', true),
    set_config('cryptosense_db.started_at', extract(epoch from clock_timestamp())::text, true)`;
}

/** Digits, an underscore and a word: nothing to quote. */
function nameOfMark({ version, direction }: TransactionMark): string {
  return `${version}:${direction}`;
}

/** True while this is still the backend that the run began on, with its lock. */
export function isSameRun(sql: Sql, { pid }: Writer) {
  return sql`pg_backend_pid() = ${pid} and ${holdsMigrationLock(sql)}`;
}

/** True while this is, besides, the transaction that was opened for this step. */
function isSameTransaction(sql: Sql, mark: TransactionMark, writer: Writer) {
  return sql`
    ${isSameRun(sql, writer)}
    and current_setting('cryptosense_db.transaction', true)
      = pg_current_xact_id()::text || ${`:${nameOfMark(mark)}`}::text`;
}

function elapsedMs(sql: Sql) {
  return sql`
    round((extract(epoch from clock_timestamp())
      - nullif(current_setting('cryptosense_db.started_at', true), '')::numeric) * 1000)::integer`;
}

/** What a history write returns. */
export interface Written {
  readonly durationMs: number;
}

/**
 * Records a migration as applied. To be run in the transaction that applied it.
 *
 * Here and in `recordRolledBack`: without an entry, because the transaction is not the step's any
 * more, the line in the log has no version, which its table refuses. The transaction has failed
 * then, so that a COMMIT that was sent already keeps nothing. See `isRefusedEntry`.
 */
export function recordApplied(sql: Sql, pair: MigrationPair, writer: Writer) {
  const { version, description, migration, rollback } = pair;
  const mark = { version, direction: 'up' } as const;
  return sql<[Written]>`
    with entry as (
      insert into cryptosense_db.migrations
        (version, description, checksum, rollback_sql, rollback_checksum, duration_ms, tool_version)
      select
        ${version}::text, ${description}::text, ${migration.checksum}::text,
        ${rollback.text}::text, ${rollback.checksum}::text, ${elapsedMs(sql)},
        ${writer.toolVersion}::text
      where ${isSameTransaction(sql, mark, writer)}
      returning *
    )
    insert into cryptosense_db.migration_log
      (event, version, description, checksum, duration_ms, tool_version)
    select 'apply', version, description, checksum, duration_ms, tool_version
    from (values (1)) as always left join entry on true
    returning duration_ms as "durationMs"`;
}

/** Takes a migration's row away. To be run in the transaction that rolled it back. */
export function recordRolledBack(sql: Sql, version: Version, writer: Writer) {
  const mark = { version, direction: 'down' } as const;
  return sql<[Written]>`
    with entry as (
      delete from cryptosense_db.migrations
      where version = ${version} and ${isSameTransaction(sql, mark, writer)}
      returning *
    )
    insert into cryptosense_db.migration_log
      (event, version, description, checksum, duration_ms, tool_version)
    select
      'rollback', version, description, rollback_checksum, ${elapsedMs(sql)},
      ${writer.toolVersion}::text
    from (values (1)) as always left join entry on true
    returning duration_ms as "durationMs"`;
}

/** True for the error of a history write that found itself outside the step's transaction. */
export function isRefusedEntry(error: unknown): boolean {
  return sqlState(error) === sqlErrorCodes.notNullViolation;
}

/** What a run says of a step that did not succeed. */
export interface FailureRecord {
  readonly version: Version;
  readonly description: string;
  readonly checksum: Checksum;
  readonly detail: string;
}

export function recordFailure(sql: Sql, failure: FailureRecord, writer: Writer) {
  const { version, description, checksum, detail } = failure;
  return sql`
    insert into cryptosense_db.migration_log
      (event, version, description, checksum, detail, tool_version)
    values ('failure', ${version}, ${description}, ${checksum}, ${detail}, ${writer.toolVersion})`;
}

/** Records the files on disk as what was applied, for a version that is already recorded. */
export function recordRepaired(
  sql: Sql,
  { recorded, pair }: { readonly recorded: Version; readonly pair: MigrationPair },
  writer: Writer,
) {
  const { version, description, migration, rollback } = pair;
  return sql`
    with entry as (
      update cryptosense_db.migrations
      set version = ${version}, description = ${description}, checksum = ${migration.checksum},
        rollback_sql = ${rollback.text}, rollback_checksum = ${rollback.checksum}
      where version = ${recorded}
      returning *
    )
    insert into cryptosense_db.migration_log
      (event, version, description, checksum, detail, tool_version)
    select 'repair', version, description, checksum, ${`was recorded as ${recorded}`}::text,
      ${writer.toolVersion}::text
    from entry`;
}

/** Drops what is recorded of a version, in history and journal. The schema is left as it is. */
export function recordForgotten(sql: Sql, version: Version, writer: Writer) {
  return sql`
    with entry as (
      delete from cryptosense_db.migrations where version = ${version} returning description, checksum
    ), unfinished as (
      delete from cryptosense_db.migration_journal where version = ${version} returning position
    )
    insert into cryptosense_db.migration_log
      (event, version, description, checksum, detail, tool_version)
    select 'forget', ${version}::text, coalesce(min(description), ''), min(checksum),
      (select count(*) from unfinished) || ' journalled statements', ${writer.toolVersion}::text
    from entry`;
}

/** Records a migration as applied without having run it. */
export function recordBaseline(sql: Sql, pair: MigrationPair, writer: Writer) {
  const { version, description, migration, rollback } = pair;
  return sql`
    with entry as (
      insert into cryptosense_db.migrations
        (version, description, checksum, rollback_sql, rollback_checksum, duration_ms, tool_version)
      values (${version}, ${description}, ${migration.checksum}, ${rollback.text},
        ${rollback.checksum}, 0, ${writer.toolVersion})
      returning *
    )
    insert into cryptosense_db.migration_log (event, version, description, checksum, tool_version)
    select 'baseline', version, description, checksum, tool_version from entry`;
}
