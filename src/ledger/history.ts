import { quoteLiteral, type Sql } from '../database/connection.ts';
import { holdsMigrationLock } from '../database/lock.ts';
import { isSqlError, sqlErrorCodes } from '../database/sql-errors.ts';
import type { Direction } from '../runtime/progress.ts';
import type { Checksum, Version } from './version.ts';

/** The checksum of an interrupted statement that the next run may repeat: a person has said so. */
export const mayRepeat = '';

/** What the history keeps of a migration and its rollback. */
export interface RecordedMigration {
  readonly version: Version;
  readonly description: string;
  readonly up: { readonly checksum: Checksum };
  readonly down: { readonly text: string; readonly checksum: Checksum };
}

/** What the ledger's rows record of the run that writes them. */
export interface Writer {
  /** The backend that holds the lock of the run; undefined in SQL for a session that is opened later. */
  readonly pid: number | undefined;
  readonly toolVersion: string;
}

/** The step that a transaction belongs to. */
export interface TransactionTag {
  readonly version: Version;
  readonly direction: Direction;
}

/**
 * A statement that tags the transaction as that of a step. The history row is written only in a transaction with the
 * step's tag: a COMMIT that no parser has seen removes the tag, and the transaction of another step has another one.
 * The step has begun with this transaction, or at the moment that the SQL expression `startedAt` gives.
 *
 * It runs under the search path of files. Therefore its functions and operators are named with their schema.
 */
export function tagTransaction(
  { version, direction }: TransactionTag,
  { startedAt = 'pg_catalog.clock_timestamp()' }: { readonly startedAt?: string } = {},
): string {
  return `
  select
    pg_catalog.set_config('cryptosense_db.transaction', ${tagOf({ version, direction })}, true),
    pg_catalog.set_config('cryptosense_db.started_at', (
      extract(epoch from ${startedAt})
    )::pg_catalog.text, true)`;
}

/** SQL for the tag of the step in this transaction. Version and direction are digits and fixed words: nothing to quote. */
function tagOf({ version, direction }: TransactionTag): string {
  return `pg_catalog.concat(pg_catalog.pg_current_xact_id(), ':${version}:${direction}')`;
}

/** An SQL condition: this is still the backend that the run started on, and it still holds the lock. */
export function isSameRun({ pid }: Writer): string {
  const isBackend =
    pid === undefined ? '' : `pg_catalog.pg_backend_pid() operator(pg_catalog.=) ${pid} and `;
  return `${isBackend}${holdsMigrationLock}`;
}

const elapsedMs = `
  round((extract(epoch from clock_timestamp())
    - nullif(current_setting('cryptosense_db.started_at', true), '')::numeric) * 1000)::integer`;

/** The column of `recordStep` that says how long the step has taken, in milliseconds. */
export const durationColumn = 'cryptosense_db_duration_ms';

/**
 * The statement that records a step up as applied, or removes the row of a step down. Run it in the step's
 * transaction, with pg_catalog as the search path.
 *
 * In another transaction there is no entry, and the row of the log has no version. The log refuses that row, which
 * fails the transaction; `isRefusedEntry` recognises the error.
 */
export function recordStep(
  {
    version,
    direction,
    pair,
  }: TransactionTag & {
    /** Undefined for a step down. */
    readonly pair: RecordedMigration | undefined;
  },
  writer: Writer,
): string {
  const toolVersion = quoteLiteral(writer.toolVersion);
  const isStepsTransaction = `${isSameRun(writer)}
    and current_setting('cryptosense_db.transaction', true) = ${tagOf({ version, direction })}`;
  const entry = pair
    ? `insert into cryptosense_db.migrations
        (version, description, checksum, rollback_sql, rollback_checksum, duration_ms, tool_version,
          search_path)
      select ${[version, pair.description, pair.up.checksum, pair.down.text, pair.down.checksum].map(quoteLiteral).join(', ')},
        ${elapsedMs}, ${toolVersion}, 'public'
      where ${isStepsTransaction}`
    : `delete from cryptosense_db.migrations
      where version = ${quoteLiteral(version)} and ${isStepsTransaction}`;
  return `
    with entry as (${entry} returning *)
    insert into cryptosense_db.migration_log
      (event, version, description, checksum, duration_ms, tool_version)
    select '${pair ? 'apply' : 'rollback'}', version, description,
      ${pair ? 'checksum, duration_ms' : `rollback_checksum, ${elapsedMs}`}, ${toolVersion}
    from (values (1)) as always left join entry on true
    returning duration_ms as ${durationColumn}`;
}

/** True for the error of `recordStep` outside the step's transaction. */
export function isRefusedEntry(error: unknown): boolean {
  if (!isSqlError(error)) return false;
  const { code, schema_name: schema, table_name: table } = error;
  const isLog = schema === 'cryptosense_db' && table === 'migration_log';
  return isLog && code === sqlErrorCodes.notNullViolation;
}

/** What the log keeps of a step that failed. */
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

/** Replaces the record of an applied version with the files on disk. */
export function recordRepaired(
  sql: Sql,
  { recorded, pair }: { readonly recorded: Version; readonly pair: RecordedMigration },
  writer: Writer,
) {
  const { version, description, up, down } = pair;
  return sql`
    with entry as (
      update cryptosense_db.migrations
      set version = ${version}, description = ${description}, checksum = ${up.checksum},
        rollback_sql = ${down.text}, rollback_checksum = ${down.checksum}
      where version = ${recorded}
      returning *
    )
    insert into cryptosense_db.migration_log
      (event, version, description, checksum, detail, tool_version)
    select 'repair', version, description, checksum, ${`was recorded as ${recorded}`}::text,
      ${writer.toolVersion}::text
    from entry`;
}

/** Removes a version from history and journal. The schema stays unchanged. */
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

/**
 * Settles the interrupted statement of a version: the next run repeats it, or it counts as finished. Returns no row
 * when no statement of the version was interrupted.
 */
export function recordSettled(
  sql: Sql,
  { version, as }: { readonly version: Version; readonly as: 'to repeat' | 'finished' },
  writer: Writer,
) {
  const change =
    as === 'finished' ? sql`finished_at = clock_timestamp()` : sql`checksum = ${mayRepeat}`;
  return sql`
    with settled as (
      update cryptosense_db.migration_journal set ${change}
      where version = ${version} and finished_at is null
      returning position
    )
    insert into cryptosense_db.migration_log (event, version, description, detail, tool_version)
    select 'repair', ${version}::text, '', 'statement ' || position + 1 || ${` counts as ${as}`}::text,
      ${writer.toolVersion}::text
    from settled`;
}

/** Records a migration as applied that did not run. */
export function recordBaseline(sql: Sql, pair: RecordedMigration, writer: Writer) {
  const { version, description, up, down } = pair;
  return sql`
    with entry as (
      insert into cryptosense_db.migrations
        (version, description, checksum, rollback_sql, rollback_checksum, duration_ms, tool_version,
          search_path)
      values (${version}, ${description}, ${up.checksum}, ${down.text},
        ${down.checksum}, 0, ${writer.toolVersion}, 'public')
      returning *
    )
    insert into cryptosense_db.migration_log (event, version, description, checksum, tool_version)
    select 'baseline', version, description, checksum, tool_version from entry`;
}
