import { quoteIdentifier, type Session, withSession } from '../database/connection.ts';
import { refuseTransactionPooling } from '../database/lock.ts';
import { createProblem, permissionProblem } from '../database/permission.ts';
import { interrupted } from '../database/refusals.ts';
import { readTimescale, requireServerVersion, requireTimescale } from '../database/requirements.ts';
import { sqlErrorCodes, sqlState } from '../database/sql-errors.ts';
import {
  describeTarget,
  type EmbeddedTarget,
  resolveTarget,
  type ServerTarget,
  type Target,
} from '../database/target.ts';
import { guardProduction } from '../ledger/environment.ts';
import { type Environment, readLedger } from '../ledger/ledger.ts';
import { type MigrateOptions, type RunControl, type RunResult, up } from '../migrations/migrate.ts';
import { readScripts } from '../migrations/scripts.ts';
import { readMigrations, resolveFolders } from '../migrations/source.ts';
import { CryptosenseDbError, type ErrorCode, isError } from '../runtime/errors.ts';
import type { OnProgress } from '../runtime/progress.ts';
import { backoffMs, type FailedAttempt, retry } from '../runtime/retry.ts';

export interface DatabaseOptions {
  /** A URL or a target: the database to create, drop, reset or wait for. */
  readonly target: Target | string;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface DropOptions extends DatabaseOptions {
  /** The database's name, which confirms that a production database is meant. */
  readonly force?: string | undefined;
}

export interface ResetOptions extends MigrateOptions, RunControl {
  readonly force?: string | undefined;
}

export interface WaitOptions extends DatabaseOptions {
  /** Default 60,000. */
  readonly timeoutMs?: number | undefined;
}

export interface CreateResult {
  readonly target: string;
  /** false: the database existed already, and was not changed. */
  readonly isCreated: boolean;
}

export interface DropResult {
  readonly target: string;
  /** false: the database did not exist. */
  readonly isDropped: boolean;
}

export interface WaitResult {
  readonly target: string;
  /** false: the time was up. */
  readonly isReady: boolean;
  /** false: the server answers, but the database is still to be created. */
  readonly isDatabaseThere: boolean;
  readonly waitedMs: number;
  /** Why the last attempt to connect failed. */
  readonly reason: string | undefined;
}

/** Creates an empty database. An existing database is not changed. Throws `not-permitted`. */
export async function create(options: DatabaseOptions): Promise<CreateResult> {
  const target = resolveTarget(options.target);
  const name = describeTarget(target);
  if (target.kind === 'embedded') {
    const { isEmbeddedDatabase } = await import('../database/embedded/engine.ts');
    const isThere = await isEmbeddedDatabase(target.folder);
    await withSession(target, options, async () => {});
    return { target: name, isCreated: !isThere };
  }
  const isCreated = await withMaintenance(target, options, async ({ sql, server }) => {
    // Without CREATEDB, PostgreSQL does not say that the database exists.
    const [found] = await sql`select from pg_database where datname = ${target.database}::name`;
    if (found) return false;
    try {
      await sql.unsafe(`create database ${quoteIdentifier(target.database)}`);
      return true;
    } catch (error) {
      // When another session creates it at the same moment, the server reports a unique violation.
      const state = sqlState(error);
      if (state === sqlErrorCodes.databaseExists || state === sqlErrorCodes.uniqueViolation) {
        return false;
      }
      throw permissionProblem(error, createProblem(server));
    }
  });
  return { target: name, isCreated };
}

/**
 * Drops the database and ends the sessions in it. Refuses a production database without `force`.
 * Throws `environment-refused`, `not-permitted`.
 */
export async function drop(options: DropOptions): Promise<DropResult> {
  const target = resolveTarget(options.target);
  return (await dropGuarded(target, options)).result;
}

/**
 * Drops the database, creates it again and applies all migrations. The mark of its environment is kept. Its owner,
 * grants and settings (`alter database … set`) are those of a new database.
 * Nothing is dropped when a file has a fault, when the server cannot run the files, or when the role may not create
 * databases. When a migration fails, the new database keeps the migrations before it.
 */
export async function reset(options: ResetOptions): Promise<RunResult> {
  const target = resolveTarget(options.target);
  const scripts = await readScripts(readMigrations(resolveFolders(options)), options);
  if (target.kind === 'server') {
    // Asked in another database: the version and settings of TimescaleDB in this one are dropped with it.
    await withMaintenance(target, options, async (session) => {
      await refuseTransactionPooling(session);
      await requireCreateRight(session);
      requireServerVersion(session);
      if (scripts.some(({ up, down }) => up.needsTimescale || down.needsTimescale))
        requireTimescale(await readTimescale(session));
    });
  }
  const { environment } = await dropGuarded(target, options);
  await create({ ...options, target });
  return up({ ...options, target, environment });
}

async function requireCreateRight({ sql, server }: Session): Promise<void> {
  const [role] = await sql<{ mayCreate: boolean }[]>`
    select rolcreatedb or rolsuper as "mayCreate" from pg_roles where rolname = current_user`;
  if (!role?.mayCreate) throw new CryptosenseDbError('not-permitted', createProblem(server));
}

async function dropGuarded(
  target: Target,
  options: DropOptions,
): Promise<{ readonly result: DropResult; readonly environment: Environment | undefined }> {
  const name = describeTarget(target);
  const mark = await readMark(target, options);
  if (!mark) return { result: { target: name, isDropped: false }, environment: undefined };
  if (target.kind === 'embedded') await dropFolder(target, options);
  else await dropDatabase(target, options);
  return { result: { target: name, isDropped: true }, environment: mark.environment };
}

/** Refuses a protected database, else returns its mark; undefined when the database does not exist. */
async function readMark(
  target: Target,
  options: DropOptions,
): Promise<{ readonly environment: Environment | undefined } | undefined> {
  if (target.kind === 'embedded') {
    const { isEmbeddedDatabase } = await import('../database/embedded/engine.ts');
    if (!(await isEmbeddedDatabase(target.folder))) return undefined;
  }
  const guard = async (session: Session) => {
    const environment = (await readLedger(session)).environment;
    guardProduction(session, environment, { operation: 'be dropped', force: options.force });
    return { environment };
  };
  return withSession(target, options, guard).catch((error: unknown) => {
    if (isError(error, 'no-such-database')) return undefined;
    throw error;
  });
}

async function dropFolder(
  { folder }: EmbeddedTarget,
  { signal, onProgress }: DropOptions,
): Promise<void> {
  if (folder === undefined) return;
  const { removeEmbeddedDatabase } = await import('../database/embedded/engine.ts');
  const onWait = (reason: string) => onProgress?.({ kind: 'waiting-for-server', reason });
  await removeEmbeddedDatabase(folder, { signal, onWait }).catch((error: unknown) => {
    throw signal?.aborted && !isError(error) ? interrupted() : error;
  });
}

async function dropDatabase(target: ServerTarget, options: DropOptions): Promise<void> {
  await withMaintenance(target, options, async ({ sql, server }) => {
    try {
      await sql.unsafe(`drop database if exists ${quoteIdentifier(target.database)} with (force)`);
    } catch (error) {
      throw permissionProblem(error, {
        message: `the role "${server.user}" may not drop the database "${target.database}"`,
        hint: 'drop it as its owner',
      });
    }
  });
}

/** A session in a database that every server has, to create and drop the target from. */
async function withMaintenance<T>(
  target: ServerTarget,
  { signal, onProgress }: DatabaseOptions,
  use: (session: Session) => Promise<T>,
): Promise<T> {
  const options = { signal, onProgress };
  return withSession(target, { ...options, database: 'postgres' }, use).catch((error: unknown) => {
    if (!isError(error, 'no-such-database')) throw error;
    return withSession(target, { ...options, database: 'template1' }, use);
  });
}

const pollBackoff = { firstMs: 250, factor: 1 };
const reasonsToWait: ReadonlySet<ErrorCode> = new Set([
  'server-unreachable',
  'no-primary',
  'embedded-locked',
] as const);

/**
 * Waits until the server takes connections, as a primary, or the embedded engine's folder is free.
 * A database that does not exist yet counts as ready. Throws at once what waiting does not change, such as
 * `login-refused`.
 */
export async function wait(options: WaitOptions): Promise<WaitResult> {
  const { timeoutMs = 60_000, signal, onProgress } = options;
  const target = resolveTarget(options.target);
  const startedAt = performance.now();
  const leftMs = () => timeoutMs - (performance.now() - startedAt);
  let reason: string | undefined;
  const result = (answer: Pick<WaitResult, 'isReady' | 'isDatabaseThere' | 'reason'>) => ({
    target: describeTarget(target),
    waitedMs: Math.round(performance.now() - startedAt),
    ...answer,
  });
  const connect = () =>
    target.kind === 'server'
      ? withSession(
          { ...target, connectTimeoutMs: Math.max(1_000, Math.min(leftMs(), 5_000)) },
          { signal },
          async () => {},
        )
      : // Read-only, the engine makes no database.
        withSession(target, { signal, isReadOnlyFine: true, lockTimeoutMs: 0 }, async () => {});
  const waitMs = ({ error, attempts }: FailedAttempt) => {
    if (!isError(error) || !reasonsToWait.has(error.code) || leftMs() <= 0) return undefined;
    const announced = reason;
    reason = evidenceOf(error);
    if (reason !== announced) onProgress?.({ kind: 'waiting-for-server', reason });
    return Math.min(backoffMs(attempts, pollBackoff), Math.max(0, leftMs()));
  };
  try {
    await retry(connect, { waitMs, signal });
    return result({ isReady: true, isDatabaseThere: true, reason: undefined });
  } catch (error) {
    if (signal?.aborted) throw interrupted();
    if (isError(error, 'no-such-database')) {
      return result({ isReady: true, isDatabaseThere: false, reason: undefined });
    }
    if (!isError(error) || !reasonsToWait.has(error.code)) throw error;
    return result({ isReady: false, isDatabaseThere: false, reason: evidenceOf(error) });
  }
}

function evidenceOf({ problems }: CryptosenseDbError): string {
  return problems.flatMap(({ evidence = [] }) => evidence).join(', ');
}
