import { type Session, type Sql, withTransaction } from '../database/connection.ts';
import type { Writer } from '../ledger/history.ts';
import { runSearchPath } from '../ledger/search-path.ts';
import type { Checksum, Version } from '../ledger/version.ts';
import type { Direction, OnProgress } from '../runtime/progress.ts';
import type { Script } from './parse.ts';
import type { ReplayConflict } from './replay-conflicts.ts';
import type { ResetSetting, RunSetting } from './run-mode.ts';
import type { MigrationPair } from './source.ts';

/** One migration or rollback that is about to run. */
export interface Step {
  readonly direction: Direction;
  readonly version: Version;
  readonly description: string;
  readonly checksum: Checksum;
  readonly script: Script;
  /** What the ledger records of a step up; undefined for a step down. */
  readonly pair: MigrationPair | undefined;
  /** Why the rollback of a step up says that it cannot be undone. */
  readonly irreversible?: string | undefined;
}

/** True for a file that updates TimescaleDB: its session may not have loaded the old version. */
export function needsOwnSession({ statements }: Script): boolean {
  return statements.some(({ run }) => run.updatesTimescale);
}

/** A step that is committed. */
export interface CompletedStep {
  readonly direction: Direction;
  readonly version: Version;
  readonly description: string;
  readonly durationMs: number;
  /** In a dry run of `up`: why the rollback says that the migration cannot be undone. */
  readonly irreversible?: string;
  /** In a dry run: the statements whose replay cancels queries on standbys. */
  readonly replayConflicts?: readonly ReplayConflict[];
}

export const defaultTableLockTimeoutMs = 5_000;

/** What every step of a run is run with. */
export interface StepOptions {
  readonly writer: Writer;
  /** How long a statement waits for a table lock before the step is rolled back and tried again. */
  readonly tableLockTimeoutMs: number;
  readonly tableLockRetries: number;
  readonly onProgress?: OnProgress | undefined;
  /** Runs at the end of each transaction of the step, which holds all of its locks then. */
  readonly beforeCommit?: (() => Promise<void>) | undefined;
}

/** Runs the step through `run`, which returns how long it took, and returns that. */
export type ObserveStep = (
  running: { readonly session: Session; readonly step: Step },
  run: (beforeCommit?: () => Promise<void>) => Promise<number>,
) => Promise<number>;

const ownRole = ['reset session authorization', 'reset role'];

const utf8 = "set client_encoding = 'UTF8'";

/**
 * Statements to run before the tool writes to the ledger. They undo what a file may have set: the role, the encoding
 * that the driver speaks, and the search path, by which a file could put its own functions before the server's.
 */
export const ownSession = [...ownRole, utf8, 'set search_path = pg_catalog'];

/**
 * Runs queries of the tool's own in a session whose search path a file may have set: in `work` only pg_catalog is
 * searched, so an operator, a function or a table of another schema is never taken for the server's.
 */
export function withCatalogPath<T>(sql: Sql, work: () => Promise<T>): Promise<T> {
  return withTransaction(sql, async () => {
    await sql.unsafe('set local search_path = pg_catalog');
    return work();
  });
}

/**
 * Statements that reset the session to the settings of the run, so that each file does the same alone and among
 * others. `traces.ts` knows what they do not undo.
 */
export function freshSession(session: Session, options: StepOptions): readonly string[] {
  return [
    ...ownRole,
    // Before DISCARD TEMP, which fails while a cursor is open on a temporary table.
    'close all',
    'discard temp',
    'unlisten *',
    'discard sequences',
    'reset all',
    ...runSettings(session, options),
  ];
}

/** Statements that give the session the settings of the run. */
function runSettings(session: Session, options: StepOptions): readonly string[] {
  return Object.values(settingsOf(session, options)).flat();
}

/** Statements that follow a RESET in a file: they give the session the settings of the run again that it took away. */
export function settingsAfterReset(
  session: Session,
  resets: ResetSetting,
  options: StepOptions,
): readonly string[] {
  return resets === 'all' ? runSettings(session, options) : settingsOf(session, options)[resets];
}

/**
 * The settings of the run, each with the statements that set it.
 *
 * client_connection_check_interval lets the server notice in the middle of a long statement that the tool is gone.
 * The embedded engine has no socket to check.
 */
function settingsOf(
  { target }: Session,
  { tableLockTimeoutMs }: StepOptions,
): Readonly<Record<RunSetting, readonly string[]>> {
  return {
    search_path: runSearchPath,
    client_encoding: [utf8],
    lock_timeout: [`set lock_timeout = ${tableLockSetting(tableLockTimeoutMs)}`],
    // The grammar reads strings so. Role and database may have set it otherwise.
    standard_conforming_strings: ['set standard_conforming_strings = on'],
    // Between two tries of a step the session is idle.
    idle_session_timeout: ['set idle_session_timeout = 0'],
    client_connection_check_interval:
      target.kind === 'server' ? ["set client_connection_check_interval = '2s'"] : [],
  };
}

/** lock_timeout in milliseconds. A timeout of 0 becomes 1, because 0 means no limit to PostgreSQL. */
export function tableLockSetting(tableLockTimeoutMs: number): number {
  return Math.max(1, Math.round(tableLockTimeoutMs));
}

type Row = Readonly<Record<string, unknown>>;

/** Runs a query without keeping its rows in memory: a migration may return millions. */
export function discardRows(
  query: { forEach(each: (row: Row) => void): Promise<unknown> },
  look: (row: Row) => void = () => {},
): Promise<unknown> {
  return query.forEach(look);
}
