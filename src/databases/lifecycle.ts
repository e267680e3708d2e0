import { quoteIdentifier, type Session, type Sql, withSession } from '../database/connection.ts';
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
import { changeMark, guardDestruction, requireConfirmed } from '../ledger/environment.ts';
import { type Ledger, readLedger } from '../ledger/ledger.ts';
import type { Environment } from '../ledger/marks.ts';
import { ensureLedger, type RunOptions, withRun } from '../ledger/run.ts';
import { type MigrateOptions, type RunControl, type RunResult, up } from '../migrations/migrate.ts';
import { readScripts } from '../migrations/scripts.ts';
import { readMigrations, resolveFolders } from '../migrations/source.ts';
import { CryptosenseDbError, type ErrorCode, isError } from '../runtime/errors.ts';
import type { OnProgress } from '../runtime/progress.ts';
import { backoffMs, type FailedAttempt, retry } from '../runtime/retry.ts';
import { quoteShellWord } from '../runtime/shell-words.ts';

export interface DatabaseOptions {
  /** A URL or a target: the database to create, drop, reset or wait for. */
  readonly target: Target | string;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface DropOptions extends DatabaseOptions {
  /**
   * The database's name, which confirms that it is meant: a production or staging database, one that has rows and no
   * mark, or one without a ledger.
   */
  readonly force?: string | undefined;
}

export interface MarkOptions extends RunOptions {
  readonly environment: Environment;
  /** The database's name, which confirms the change of a mark. The first mark needs none. */
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

export interface MarkResult {
  readonly target: string;
  readonly environment: Environment;
  /** The mark before; undefined when there was none. */
  readonly before: Environment | undefined;
  /** false: the database bore that mark already. */
  readonly isChanged: boolean;
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
 * Marks the database. A mark is changed only with `force`; the log of the ledger keeps each call that changes it.
 * Throws `environment-refused`, `not-permitted`.
 */
export async function mark(options: MarkOptions): Promise<MarkResult> {
  const { environment, force } = options;
  return withRun(options, { access: 'write' }, async (run) => {
    const before = run.ledger.environment;
    requireConfirmed(run.session, { before, environment, force });
    const isChanged = before !== environment;
    if (isChanged) {
      await ensureLedger(run, 'mark');
      await changeMark(run, { before, environment });
    }
    return { target: describeTarget(run.session.target), environment, before, isChanged };
  });
}

/**
 * Drops the database and ends the sessions in it. Without `force` it refuses a production or staging database, one
 * that has rows and no mark, and one that has content and no ledger.
 * Throws `environment-refused`, `not-permitted`.
 */
export async function drop(options: DropOptions): Promise<DropResult> {
  const target = resolveTarget(options.target);
  return (await dropGuarded(target, options)).result;
}

/**
 * Drops the database, creates it again and applies all migrations. Refuses as `drop` does. The mark is kept. Its owner,
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
  const found = await guardDrop(target, options);
  if (!found) return { result: { target: name, isDropped: false }, environment: undefined };
  const { environment, guarded } = found;
  if (target.kind === 'embedded') {
    await dropFolder(target, options);
    return { result: { target: name, isDropped: true }, environment };
  }
  const isDropped = await dropDatabase(target, { ...options, guarded });
  return { result: { target: name, isDropped }, environment };
}

/** A database of a running server. A pooler or a list of hosts can lead two connections to two databases. */
interface DatabaseIdentity {
  readonly oid: number;
  readonly serverStartedAt: string;
}

/** Throws `environment-refused` when the session is in a database of another name than the target's. */
async function readIdentity(
  { sql, server }: Session,
  target: ServerTarget,
): Promise<DatabaseIdentity | undefined> {
  if (server.database !== target.database) {
    throw leadsElsewhere(target, `connections to it reach the database "${server.database}"`);
  }
  return findIdentity(sql, target);
}

async function findIdentity(
  sql: Sql,
  { database }: ServerTarget,
): Promise<DatabaseIdentity | undefined> {
  const [identity] = await sql<DatabaseIdentity[]>`
    select oid::int8::float8 as oid, extract(epoch from pg_postmaster_start_time())::text as "serverStartedAt"
    from pg_database where datname = ${database}::name`;
  return identity;
}

function leadsElsewhere(target: ServerTarget, evidence: string) {
  return new CryptosenseDbError(
    'environment-refused',
    {
      message: `${describeTarget(target)} was not dropped: it is not certain which database that is`,
      evidence: [evidence],
      hint: 'name the server itself in the URL, without a pooler, and one host',
    },
    { details: { environment: undefined } },
  );
}

/** Refuses a protected database, else returns what it is; undefined when the database does not exist. */
async function guardDrop(
  target: Target,
  options: DropOptions,
): Promise<
  | {
      readonly environment: Environment | undefined;
      readonly guarded: DatabaseIdentity | undefined;
    }
  | undefined
> {
  if (target.kind === 'embedded') {
    const { isEmbeddedDatabase } = await import('../database/embedded/engine.ts');
    if (!(await isEmbeddedDatabase(target.folder))) return undefined;
  }
  const guard = async (session: Session) => {
    const ledger = await readLedger(session);
    const { force } = options;
    await guardDestruction({ session, ledger }, { operation: 'be dropped', count: 'all', force });
    if (force === undefined) await requireOwn(session, ledger);
    const guarded = target.kind === 'server' ? await readIdentity(session, target) : undefined;
    return { environment: ledger.environment, guarded };
  };
  return withSession(target, { ...options, isCatalogOnly: true }, guard).catch((error: unknown) => {
    if (isError(error, 'no-such-database')) return undefined;
    throw error;
  });
}

/**
 * Refuses a database that this tool never migrated, unless it is empty: a name in `.env` may be that of another
 * application's. A folder of the embedded engine is this tool's own.
 */
async function requireOwn(session: Session, { format }: Ledger): Promise<void> {
  const { target, server } = session;
  if (format > 0 || target.kind === 'embedded') return;
  const isServersOwn = server.database === 'postgres';
  if (!isServersOwn && (await isEmpty(session))) return;
  throw new CryptosenseDbError(
    'environment-refused',
    {
      message: `"${server.database}" ${isServersOwn ? "is the server's own database" : 'is not empty, and this tool has not made its content: it has no ledger'}; it refuses to be dropped`,
      hint: `name the right database, or confirm it with the database's name: --force ${quoteShellWord(server.database)}`,
    },
    { details: { environment: undefined } },
  );
}

/** Without schemas, tables, functions, types and large objects other than those of the server and of extensions. */
async function isEmpty({ sql }: Session): Promise<boolean> {
  const [found] = await sql`
    with members as (
      select classid, objid from pg_depend where deptype = 'e'
    ), spaces as (
      select oid, nspname from pg_namespace
      where nspname !~ '^pg_' and nspname <> 'information_schema'
        and not exists (
          select from members where classid = 'pg_namespace'::regclass and objid = pg_namespace.oid
        )
    ), objects (class, id, space) as (
      select 'pg_class'::regclass, oid, relnamespace from pg_class
      union all select 'pg_proc'::regclass, oid, pronamespace from pg_proc
      union all select 'pg_type'::regclass, oid, typnamespace from pg_type
    )
    select from spaces where nspname <> 'public'
    union all
    select from objects join spaces on spaces.oid = space
    where not exists (select from members where classid = class and objid = id)
      -- The array and the row type of an extension's table are members of nothing.
      and not exists (
        select from pg_depend d
        where d.classid = class and d.objid = id and deptype = 'i'
      )
    union all
    select from pg_largeobject_metadata
    limit 1`;
  return found === undefined;
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

/** Drops the database that was guarded, and no other. Returns false when another session has dropped it since. */
async function dropDatabase(
  target: ServerTarget,
  { guarded, ...options }: DropOptions & { readonly guarded: DatabaseIdentity | undefined },
): Promise<boolean> {
  return withMaintenance(target, options, async ({ sql, server }) => {
    const found = await findIdentity(sql, target);
    if (!found) return false;
    if (found.oid !== guarded?.oid || found.serverStartedAt !== guarded?.serverStartedAt) {
      throw leadsElsewhere(
        target,
        'the connection that drops it reaches another server, or another database of its name',
      );
    }
    const database = quoteIdentifier(target.database);
    const isTemplate = await isOwnTemplate(sql, target);
    if (isTemplate && options.force === undefined) throw refusedTemplate(target);
    try {
      if (isTemplate) await sql.unsafe(`alter database ${database} is_template false`);
      await sql.unsafe(`drop database ${database} with (force)`);
      return true;
    } catch (error) {
      // The jobs of TimescaleDB would run in it.
      if (isTemplate)
        await sql.unsafe(`alter database ${database} is_template true`).catch(() => {});
      throw permissionProblem(error, {
        message: `the role "${server.user}" may not drop the database "${target.database}"`,
        hint: 'drop it as its owner',
      });
    }
  });
}

/** PostgreSQL drops no template. Its own ones stay; a restored database is one until it is activated. */
async function isOwnTemplate(sql: Sql, { database }: ServerTarget): Promise<boolean> {
  const [row] = await sql<{ isTemplate: boolean }[]>`
    select datistemplate and datname not in ('template0', 'template1') as "isTemplate"
    from pg_database where datname = ${database}::name`;
  return row?.isTemplate ?? false;
}

function refusedTemplate({ database }: ServerTarget): CryptosenseDbError<'environment-refused'> {
  return new CryptosenseDbError(
    'environment-refused',
    {
      message: `"${database}" is a template, such as a restored database that is not activated; it refuses to be dropped`,
      hint: `confirm it with the database's name: --force ${quoteShellWord(database)}`,
    },
    { details: { environment: undefined } },
  );
}

/** A session in a database that every server has, to create and drop the target from. */
async function withMaintenance<T>(
  target: ServerTarget,
  { signal, onProgress }: DatabaseOptions,
  use: (session: Session) => Promise<T>,
): Promise<T> {
  const options = { signal, onProgress, isCatalogOnly: true };
  return withSession(target, { ...options, database: 'postgres' }, use).catch((error: unknown) => {
    if (!isError(error, 'no-such-database')) throw error;
    return withSession(target, { ...options, database: 'template1' }, use);
  });
}

const pollBackoff = { firstMs: 250, factor: 1 };
const reasonsToWait: ReadonlySet<ErrorCode> = new Set(['no-primary', 'embedded-locked'] as const);

/**
 * Waits until the server takes connections, as a primary, or the embedded engine's folder is free.
 * A database that does not exist yet counts as ready. Throws at once what waiting does not change, such as
 * `login-refused`, or `server-unreachable` for a certificate that is not trusted.
 */
export async function wait(options: WaitOptions): Promise<WaitResult> {
  const { timeoutMs = 60_000, onProgress } = options;
  const target = resolveTarget(options.target);
  const startedAt = performance.now();
  // A try of less than a second has a second. The rest is for its own reason to come before this end.
  const timeUp = AbortSignal.timeout(Math.max(timeoutMs, 1_000) + 500);
  const signal = AbortSignal.any([timeUp, ...(options.signal ? [options.signal] : [])]);
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
    if (!isWorthWaiting(error) || leftMs() <= 0) return undefined;
    const announced = reason;
    reason = evidenceOf(error);
    if (reason !== announced) onProgress?.({ kind: 'waiting-for-server', reason });
    return Math.min(backoffMs(attempts, pollBackoff), Math.max(0, leftMs()));
  };
  try {
    await retry(connect, { waitMs, signal });
    return result({ isReady: true, isDatabaseThere: true, reason: undefined });
  } catch (error) {
    if (options.signal?.aborted) throw interrupted();
    if (isError(error, 'no-such-database')) {
      return result({ isReady: true, isDatabaseThere: false, reason: undefined });
    }
    if (timeUp.aborted) {
      const why = reason ?? 'the attempt to connect did not end in time';
      return result({ isReady: false, isDatabaseThere: false, reason: why });
    }
    if (!isWorthWaiting(error)) throw error;
    return result({ isReady: false, isDatabaseThere: false, reason: evidenceOf(error) });
  }
}

function isWorthWaiting(error: unknown): error is CryptosenseDbError {
  if (isError(error, 'server-unreachable')) return !error.details.isLasting;
  return isError(error) && reasonsToWait.has(error.code);
}

function evidenceOf({ problems }: CryptosenseDbError): string {
  return problems.flatMap(({ evidence = [] }) => evidence).join(', ');
}
