import { setTimeout as sleep } from 'node:timers/promises';
import { isError } from '../runtime/errors.ts';
import type { OnProgress } from '../runtime/progress.ts';
import { type Client, openClient, openPrimary, type ServerFacts, type Sql } from './client.ts';
import { connectionLost, interrupted, statementRefused, throwIfInterrupted } from './refusals.ts';
import { isConnectionLost, isSqlError } from './sql-errors.ts';
import { describeTarget, type EmbeddedTarget, type ServerTarget, type Target } from './target.ts';

export type { ServerFacts, Sql } from './client.ts';

/**
 * One backend, from opening to closing. `sql` never reconnects: once the backend is gone every
 * query is refused, so that a session's locks and transactions cannot be lost unnoticed.
 */
export interface Session {
  readonly sql: Sql;
  readonly target: Target;
  readonly pid: number;
  readonly server: ServerFacts;
  /** Throws `interrupted` once the signal has fired; call it before each new piece of work. */
  readonly throwIfInterrupted: () => void;
  readonly signal: AbortSignal | undefined;
}

export interface SessionOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
  /** Another database on the same server, for statements that cannot run inside the target. */
  readonly database?: string;
  /** How long to wait for another process to leave the embedded engine's folder. */
  readonly lockTimeoutMs?: number | undefined;
  /** Accept a standby or a read-only server, and make no embedded database where there is none. */
  readonly isReadOnlyFine?: boolean;
}

/**
 * Opens a session on the target's primary, gives it to `use`, and closes it whatever happens.
 * While `use` runs, a fired signal cancels the statement in flight; the caller's bracket rolls back.
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
    const client = await openClient(
      { user: 'postgres', database: 'postgres', ssl: false, connect_timeout: 60 },
      async () => engine.connect(),
      { ...options, firstAnswerTimeoutMs: 60_000 },
    ).catch(orInterrupted(signal));
    // The engine calls its one database template1; people know it by its folder.
    const server = { ...client.server, database: describeTarget(target) };
    return await useClient({ ...client, server }, target, options, use);
  } finally {
    await engine.close();
  }
}

/** What ends the opening of an engine once the signal has fired is the signal. */
function orInterrupted(signal: AbortSignal | undefined): (error: unknown) => never {
  return (error) => {
    throw signal?.aborted && !isError(error) ? interrupted({ completed: [], pending: [] }) : error;
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
    if (signal?.aborted && !isError(error)) throw interrupted({ completed: [], pending: [] });
    throw explained(error, { client, target });
  } finally {
    stopCancelling();
    // postgres.js would wait for the answer that a lost connection no longer gives.
    await client.sql.end({ timeout: client.isClosed() ? 0 : 2 });
  }
}

/** What ended the use of a connection, as an error of this package where the server or the line is at fault. */
export function explained(
  error: unknown,
  { client, target }: { readonly client: Pick<Client, 'isClosed'>; readonly target: Target },
): unknown {
  if (isError(error)) return error;
  if (client.isClosed() || isConnectionLost(error)) {
    return connectionLost(target, { cause: error, completed: [], pending: [] });
  }
  return isSqlError(error) ? statementRefused(error) : error;
}

/**
 * From abort until the session ends, cancels whatever runs, again and again: a cancel that arrives
 * between two statements of a pipeline is lost. When the server cannot be reached for it, the
 * connection is cut, which the server notices through client_connection_check_interval.
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

/** A transaction around `work`; on failure it is rolled back, and the failure thrown on. */
export async function withTransaction<T>(sql: Sql, work: () => Promise<T>): Promise<T> {
  return withRollback(sql, async () => {
    await sql.unsafe('begin');
    const result = await work();
    await sql.unsafe('commit');
    return result;
  });
}

/** For work that opens its transaction itself. The server rolls back alone where the client is gone. */
export async function withRollback<T>(sql: Sql, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    await sql.unsafe('rollback').catch(() => {});
    throw error;
  }
}

/** A name as an identifier, parts of a qualified one joined by dots. */
export function quoteIdentifier(...parts: readonly string[]): string {
  return parts.map((part) => `"${part.replaceAll('"', '""')}"`).join('.');
}

/** A text as a literal, for statements that take no parameters. */
export function quoteLiteral(text: string): string {
  return `E'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
}
