import type { Session, Sql } from '../database/connection.ts';
import { CryptosenseDbError } from '../errors.ts';
import type { Direction, OnProgress } from '../progress.ts';
import {
  isRefusedEntry,
  recordApplied,
  recordFailure,
  recordRolledBack,
  type Writer,
} from './history.ts';
import type { Checksum, MigrationPair } from './source.ts';
import type { Script, Statement } from './statements.ts';
import type { Version } from './version.ts';

/** One migration or rollback that is about to run. */
export interface Step {
  readonly direction: Direction;
  readonly version: Version;
  readonly description: string;
  readonly checksum: Checksum;
  readonly script: Script;
  /** What the ledger records of a step up. */
  readonly pair: MigrationPair | undefined;
}

/** A step that is committed. */
export interface CompletedStep {
  readonly direction: Direction;
  readonly version: Version;
  readonly description: string;
  readonly durationMs: number;
}

export interface RunOptions {
  readonly writer: Writer;
  /** How long a statement waits for a table lock before the step is rolled back and tried again. */
  readonly tableLockTimeoutMs: number;
  readonly tableLockRetries: number;
  readonly onProgress?: OnProgress | undefined;
}

/** A statement's failure on its way up: where it stands in its file, and the server's error. */
export class StatementError extends Error {
  readonly step: Step;
  readonly statement: Statement;

  constructor(step: Step, statement: Statement, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.step = step;
    this.statement = statement;
  }
}

/**
 * Each file starts from a session as new, as if psql ran it alone: settings, role, cursors and
 * temporary tables of the file before it are gone. client_connection_check_interval lets the server notice
 * that the tool is gone in the middle of a long statement; WebAssembly has no socket to check.
 */
export function prepareSession({ target }: Session, { tableLockTimeoutMs }: RunOptions): string {
  return [
    'reset session authorization',
    'reset role',
    'reset all',
    'discard temp',
    'close all',
    'unlisten *',
    'discard sequences',
    `set lock_timeout = ${tableLockSetting(tableLockTimeoutMs)}`,
    ...(target.kind === 'server' ? ["set client_connection_check_interval = '2s'"] : []),
  ].join('; ');
}

/** To PostgreSQL 0 is no limit at all; here it is no patience. In milliseconds. */
export function tableLockSetting(tableLockTimeoutMs: number): number {
  return Math.max(1, Math.round(tableLockTimeoutMs));
}

/** Records the step, in the transaction that ran it. How long that took so far, in milliseconds. */
export async function writeHistory(sql: Sql, step: Step, writer: Writer): Promise<number> {
  const { direction, version, pair } = step;
  const record =
    direction === 'up' && pair
      ? recordApplied(sql, pair, writer)
      : recordRolledBack(sql, version, writer);
  const [{ durationMs }] = await record.catch((error: unknown) => {
    throw isRefusedEntry(error) ? runLost(step) : error;
  });
  return durationMs;
}

/**
 * The role and encoding that the tool writes its own tables with, whatever a file has set: it may
 * have set a role that may not write them.
 */
export const ownSession = "reset session authorization; reset role; set client_encoding = 'UTF8'";

/** Nobody reads what the statements of a migration return, and it may be a great deal. */
export function discardRows<T extends { forEach(each: () => void): Promise<unknown> }>(query: T) {
  return query.forEach(() => {});
}

/** The history cannot be written: the file ended the transaction, or gave the run's lock away. */
export function runLost({ script: { file, transaction } }: Step) {
  return new CryptosenseDbError('faulty-statements', {
    message: `${file.name} left the transaction or the lock that it was run under`,
    evidence: [
      transaction === 'own'
        ? 'its history row could not be written in the same transaction, so neither was kept'
        : 'what it did so far stays; the journal knows what was finished',
    ],
    hint: 'take COMMIT, ROLLBACK, RESET ALL, DEALLOCATE ALL and pg_advisory_unlock_all() out of the file and of what it calls',
  });
}

/** Leaves a line in the log; what failed before is the error that counts. */
export async function logFailure(
  { sql }: Session,
  { step, cause }: StatementError,
  writer: Writer,
): Promise<void> {
  const { version, description, checksum } = step;
  const detail = cause instanceof Error ? cause.message : String(cause);
  await sql
    .unsafe(ownSession)
    .then(() => recordFailure(sql, { version, description, checksum, detail }, writer))
    .catch(() => {});
}
