import { setTimeout as sleep } from 'node:timers/promises';
import { isError } from '../runtime/errors.ts';
import type { OnProgress } from '../runtime/progress.ts';
import { type Client, openEmbedded, openPrimary, type Sql } from './client.ts';
import type { EmbeddedEngine } from './embedded/engine.ts';
import { connectionLost, interrupted, statementRefused, throwIfInterrupted } from './refusals.ts';
import { isConnectionLost, isSqlError } from './sql-errors.ts';
import { describeTarget, type EmbeddedTarget, type ServerTarget, type Target } from './target.ts';

export { releaseTimescale, type ServerFacts, type Sql, valueSettings } from './client.ts';
export { quoteIdentifier, quoteLiteral } from './quote.ts';

/**
 * One backend, from opening to closing. `sql` never reconnects: once the backend is gone, every
 * query fails. So the session's locks and transactions cannot be lost unnoticed.
 */
export interface Session extends Pick<Client, 'sql' | 'types' | 'pid' | 'server'> {
  readonly target: Target;
  /** Throws `interrupted` once the signal has fired. Call it before each new piece of work. */
  readonly throwIfInterrupted: () => void;
  readonly signal: AbortSignal | undefined;
}

export interface SessionOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
  /** Another database on the same server, for statements that cannot run inside the target. */
  readonly database?: string;
  /** How long to wait while another process has the embedded engine's folder open. */
  readonly lockTimeoutMs?: number | undefined;
  /** Accept a standby or a read-only server, and do not create a missing embedded database. */
  readonly isReadOnlyFine?: boolean;
  /**
   * Search pg_catalog alone, so that no function or operator of another schema runs. A run sets another search path for
   * files and seeders only.
   */
  readonly isCatalogOnly?: boolean;
  /** Keep TimescaleDB unloaded, for `releaseTimescale`. Without effect on the embedded engine. */
  readonly holdsTimescale?: boolean;
}

/**
 * Opens a session on the target's primary, calls `use` with it, and closes it in every case.
 * While `use` runs, a fired signal cancels the running statement. The caller's transaction bracket
 * then rolls back.
 * Throws `server-unreachable`, `login-refused`, `no-such-database`, `no-primary`, `connection-lost`.
 */
export async function withSession<T>(
  target: Target,
  options: SessionOptions,
  use: (session: Session) => Promise<T>,
): Promise<T> {
  return target.kind === 'embedded'
    ? withEmbeddedSession(target, options, use)
    : withServerSession(target, options, use);
}

async function withServerSession<T>(
  target: ServerTarget,
  options: SessionOptions,
  use: (session: Session) => Promise<T>,
): Promise<T> {
  const named = options.database === undefined ? target : { ...target, database: options.database };
  const client = await openPrimary(named, options);
  return useClient(client, named, options, use);
}

async function withEmbeddedSession<T>(
  target: EmbeddedTarget,
  options: SessionOptions,
  use: (session: Session) => Promise<T>,
): Promise<T> {
  if (target.engine) return useEngine(target.engine, target, options, use);
  const { openEmbeddedEngine, requireEmbeddedDatabase } = await import('./embedded/engine.ts');
  const { folder } = target;
  const { lockTimeoutMs, signal, onProgress, isReadOnlyFine } = options;
  if (isReadOnlyFine && folder !== undefined) await requireEmbeddedDatabase(folder);
  const engine = await openEmbeddedEngine({
    folder,
    lockTimeoutMs,
    signal,
    onWait: (reason) => onProgress?.({ kind: 'waiting-for-server', reason }),
  }).catch(orInterrupted(signal));
  try {
    return await useEngine(engine, target, options, use);
  } finally {
    await engine.close();
  }
}

async function useEngine<T>(
  engine: EmbeddedEngine,
  target: EmbeddedTarget,
  options: SessionOptions,
  use: (session: Session) => Promise<T>,
): Promise<T> {
  const client = await openEmbedded(engine, options).catch(orInterrupted(options.signal));
  // The engine's one database is named template1. Messages name its folder instead.
  const server = { ...client.server, database: describeTarget(target) };
  return useClient({ ...client, server }, target, options, use);
}

/** After the signal has fired, an error while the engine opens means the interruption. */
function orInterrupted(signal: AbortSignal | undefined): (error: unknown) => never {
  return (error) => {
    throw signal?.aborted && !isError(error) ? interrupted() : error;
  };
}

async function useClient<T>(
  client: Client,
  target: Target,
  options: SessionOptions,
  use: (session: Session) => Promise<T>,
): Promise<T> {
  const { signal } = options;
  const session: Session = {
    ...client,
    target,
    signal,
    throwIfInterrupted: () => throwIfInterrupted(signal),
  };
  const stopCancelling = cancelOnAbort(session, client);
  try {
    session.throwIfInterrupted();
    options.onProgress?.({ kind: 'connected', target: describeTarget(target) });
    return await use(session);
  } catch (error) {
    if (signal?.aborted && !isError(error)) throw interrupted();
    throw explained(error, { client, target });
  } finally {
    stopCancelling();
    // On a lost connection postgres.js would wait for an answer that never comes.
    await client.sql.end({ timeout: client.isClosed() ? 0 : 2 });
  }
}

/** Turns an error of the server or the connection into an error of this package. Returns others unchanged. */
export function explained(
  error: unknown,
  {
    client,
    target,
  }: { readonly client: Pick<Client, 'isClosed' | 'server'>; readonly target: Target },
): unknown {
  if (isError(error)) return error;
  if (client.isClosed() || isConnectionLost(error)) {
    return connectionLost(target, { cause: error, completed: [], pending: [] });
  }
  return isSqlError(error) ? statementRefused(error, client.server) : error;
}

/**
 * From the abort until the session ends, cancels the running statement every 250 ms, since a cancel
 * request between two statements has no effect. If the server cannot be reached for the request,
 * the connection is cut. The server notices that through client_connection_check_interval.
 */
function cancelOnAbort({ target, pid, signal }: Session, client: Client): () => void {
  if (!signal || target.kind === 'embedded') return () => {};
  const done = new AbortController();
  const cancel = async () => {
    while (!done.signal.aborted) {
      await withServerSession(
        { ...target, connectTimeoutMs: 3_000 },
        { isReadOnlyFine: true },
        ({ sql }) => sql`select pg_cancel_backend(${pid})`,
      ).catch(() => client.destroy());
      await sleep(250, undefined, { signal: done.signal }).catch(() => {});
    }
  };
  const start = () => void cancel();
  signal.addEventListener('abort', start, { once: true });
  return () => {
    done.abort();
    signal.removeEventListener('abort', start);
  };
}

/** Runs `work` in a transaction. When `work` fails, rolls back and throws its error. */
export async function withTransaction<T>(sql: Sql, work: () => Promise<T>): Promise<T> {
  return withRollback(sql, async () => {
    await sql.unsafe('begin');
    const result = await work();
    await sql.unsafe('commit');
    return result;
  });
}

/**
 * Runs `work`, which opens its own transaction, and rolls back when it fails. When the connection is
 * lost, the server rolls back.
 */
export async function withRollback<T>(sql: Sql, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    await sql.unsafe('rollback').catch(() => {});
    throw error;
  }
}
