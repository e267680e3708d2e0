import type { Session } from '../database/connection.ts';
import { recordFailure, type Writer } from '../ledger/history.ts';
import type { Checksum, Version } from '../ledger/version.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import type { Direction, OnProgress } from '../runtime/progress.ts';
import type { MigrationPair } from './source.ts';
import type { Script, Statement } from './statements.ts';

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
  /** What the server points at in the statement's text, in UTF-16 units; its start where that is nothing. */
  readonly offset: number;
  /** It was not the statement, the last one, but what comes behind it: deferred work, the history row, COMMIT. */
  readonly isBehind: boolean;

  constructor(
    step: Step,
    statement: Statement,
    cause: unknown,
    { offset = 0, isBehind = false }: { readonly offset?: number; readonly isBehind?: boolean },
  ) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.step = step;
    this.statement = statement;
    this.offset = offset;
    this.isBehind = isBehind;
  }
}

const ownRole = ['reset session authorization', 'reset role'];

const utf8 = "set client_encoding = 'UTF8'";

/**
 * Whatever a file has set, the tool writes its own tables with the role that the run began with, in the encoding
 * that the driver speaks, and with the server's own functions.
 */
export const ownSession = [...ownRole, utf8, 'set search_path = pg_catalog'];

/**
 * A session as new, with the run's own settings: each file finds such a one, as if it ran alone, and leaves such a
 * one. What it has prepared and the advisory locks that it has taken stay.
 *
 * client_connection_check_interval lets the server notice that the tool is gone in the middle of a long statement;
 * WebAssembly has no socket to check.
 */
export function freshSession(
  { target }: Session,
  { tableLockTimeoutMs }: RunOptions,
): readonly string[] {
  return [
    ...ownRole,
    // A cursor may be open on a temporary table.
    'close all',
    'discard temp',
    'unlisten *',
    'discard sequences',
    'reset all',
    utf8,
    `set lock_timeout = ${tableLockSetting(tableLockTimeoutMs)}`,
    // Between two tries of a step nothing runs.
    'set idle_session_timeout = 0',
    ...(target.kind === 'server' ? ["set client_connection_check_interval = '2s'"] : []),
  ];
}

/** To PostgreSQL 0 is no limit at all; here it is no patience. In milliseconds. */
export function tableLockSetting(tableLockTimeoutMs: number): number {
  return Math.max(1, Math.round(tableLockTimeoutMs));
}

type Row = Readonly<Record<string, unknown>>;

/** Nobody reads what the statements of a migration return, and it may be a great deal. */
export function discardRows(
  query: { forEach(each: (row: Row) => void): Promise<unknown> },
  look: (row: Row) => void = () => {},
): Promise<unknown> {
  return query.forEach(look);
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
    .unsafe(ownSession.join('; '))
    .then(() => recordFailure(sql, { version, description, checksum, detail }, writer))
    .catch(() => {});
}
