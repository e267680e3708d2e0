import { quoteLiteral, type Sql } from '../database/connection.ts';
import { holdsMigrationLock } from '../database/lock.ts';
import { isSqlError, sqlErrorCodes } from '../database/sql-errors.ts';
import type { Direction } from '../runtime/progress.ts';
import type { Checksum, Version } from './version.ts';

/** What the history keeps of a migration and its rollback. */
export interface RecordedMigration {
  readonly version: Version;
  readonly description: string;
  readonly migration: { readonly checksum: Checksum };
  readonly rollback: { readonly text: string; readonly checksum: Checksum };
}

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
export function nameOfMark({ version, direction }: TransactionMark): string {
  return `${version}:${direction}`;
}

/** A condition: this is still the backend that the run began on, with its lock. */
export function isSameRun({ pid }: Writer): string {
  return `pg_backend_pid() = ${pid} and ${holdsMigrationLock}`;
}

/** A condition: it is, besides, the transaction that was opened for the step of the version in $1. */
function isSameTransaction(direction: Direction, writer: Writer): string {
  return `
    ${isSameRun(writer)}
    and current_setting('cryptosense_db.transaction', true)
      = pg_current_xact_id()::text || ':' || $1 || ':${direction}'`;
}

const elapsedMs = `
  round((extract(epoch from clock_timestamp())
    - nullif(current_setting('cryptosense_db.started_at', true), '')::numeric) * 1000)::integer`;

/** The column of `recordStep` that says how long the step took so far, in milliseconds. */
export const durationColumn = 'cryptosense_db_duration_ms';

/**
 * Prepares what `recordStep` executes; planned once, it takes half the time.
 *
 * Without an entry, because the transaction is not the step's any more, the line in the log has no
 * version, which its table refuses. The transaction has failed then. See `isRefusedEntry`.
 */
export function prepareRecord(direction: Direction, writer: Writer): string {
  const toolVersion = quoteLiteral(writer.toolVersion);
  if (direction === 'up') {
    return `
    prepare cryptosense_db_up (text, text, text, text, text) as
    with entry as (
      insert into cryptosense_db.migrations
        (version, description, checksum, rollback_sql, rollback_checksum, duration_ms, tool_version)
      select $1, $2, $3, $4, $5, ${elapsedMs}, ${toolVersion}
      where ${isSameTransaction(direction, writer)}
      returning *
    )
    insert into cryptosense_db.migration_log
      (event, version, description, checksum, duration_ms, tool_version)
    select 'apply', version, description, checksum, duration_ms, tool_version
    from (values (1)) as always left join entry on true
    returning duration_ms as ${durationColumn}`;
  }
  return `
    prepare cryptosense_db_down (text) as
    with entry as (
      delete from cryptosense_db.migrations
      where version = $1 and ${isSameTransaction(direction, writer)}
      returning *
    )
    insert into cryptosense_db.migration_log
      (event, version, description, checksum, duration_ms, tool_version)
    select
      'rollback', version, description, rollback_checksum, ${elapsedMs}, ${toolVersion}
    from (values (1)) as always left join entry on true
    returning duration_ms as ${durationColumn}`;
}

/**
 * Records a step: a migration as applied, or its row taken away where it was rolled back. To be run in the
 * transaction that ran the step, on a session where `prepareRecord` has prepared its direction.
 */
export function recordStep({
  version,
  pair,
}: {
  readonly version: Version;
  /** Of a step up. */
  readonly pair: RecordedMigration | undefined;
}): string {
  if (!pair) return `execute cryptosense_db_down (${quoteLiteral(version)})`;
  const { description, migration, rollback } = pair;
  const values = [version, description, migration.checksum, rollback.text, rollback.checksum];
  return `execute cryptosense_db_up (${values.map(quoteLiteral).join(', ')})`;
}

/**
 * True for the error of a history write that found itself outside the step's transaction, or not prepared any
 * more.
 */
export function isRefusedEntry(error: unknown): boolean {
  if (!isSqlError(error)) return false;
  const { code, message, schema_name: schema, table_name: table } = error;
  if (code === sqlErrorCodes.noSuchPrepared) return message.includes('cryptosense_db_');
  const isLog = schema === 'cryptosense_db' && table === 'migration_log';
  return isLog && code === sqlErrorCodes.notNullViolation;
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
  { recorded, pair }: { readonly recorded: Version; readonly pair: RecordedMigration },
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
export function recordBaseline(sql: Sql, pair: RecordedMigration, writer: Writer) {
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
