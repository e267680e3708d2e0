import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import postgres, { type Options, type Sql } from 'postgres';
import { isError } from '../errors.ts';
import type { OnProgress } from '../progress.ts';
import {
  connectionLost,
  interrupted,
  type Refusal,
  refused,
  statementRefused,
} from './refusals.ts';
import { brokenSocket, noAnswer, onTimeoutOrAbort, openSocket, tlsSettings } from './socket.ts';
import { isConnectionLost, isSqlError, sqlErrorCodes, sqlState } from './sql-errors.ts';
import {
  describeTarget,
  type EmbeddedTarget,
  type Host,
  type ServerTarget,
  type Target,
} from './target.ts';

export type { Sql } from 'postgres';

/** What the server said of itself when the session opened. */
export interface ServerFacts {
  readonly version: number;
  readonly database: string;
  readonly user: string;
  readonly isReadOnly: boolean;
  /** A pooler between the tool and the server answers under a process id of its own. */
  readonly isPooled: boolean;
}

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
  const throwIfInterrupted = () => {
    if (signal?.aborted) throw interrupted({ completed: [], pending: [] });
  };
  const session: Session = { ...client, target, signal, throwIfInterrupted };
  const stopCancelling = cancelOnAbort(session, client);
  try {
    throwIfInterrupted();
    options.onProgress?.({ kind: 'connected', target: describeTarget(target) });
    return await use(session);
  } catch (error) {
    if (signal?.aborted && !isError(error)) throw interrupted({ completed: [], pending: [] });
    if (!isError(error) && (client.isClosed() || isConnectionLost(error))) {
      throw connectionLost(target, { cause: error, completed: [], pending: [] });
    }
    throw isSqlError(error) ? statementRefused(error) : error;
  } finally {
    stopCancelling();
    // postgres.js would wait for the answer that a lost connection no longer gives.
    await client.sql.end({ timeout: client.isClosed() ? 0 : 2 });
  }
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

interface Client {
  readonly sql: Sql;
  readonly pid: number;
  readonly server: ServerFacts;
  readonly isClosed: () => boolean;
  readonly destroy: () => void;
}

async function openPrimary(target: ServerTarget, options: SessionOptions): Promise<Client> {
  const startedAt = performance.now();
  const refusals: Refusal[] = [];
  const standbys: Host[] = [];
  for (const host of target.hosts) {
    const client = await openHost(target, host, options).catch((error: unknown) => {
      refusals.push({ host, error });
      return undefined;
    });
    if (options.signal?.aborted) {
      await client?.sql.end({ timeout: 2 });
      throw interrupted({ completed: [], pending: [] });
    }
    if (!client) continue;
    if (!client.server.isReadOnly || options.isReadOnlyFine) return client;
    standbys.push(host);
    await client.sql.end({ timeout: 2 });
  }
  throw refused(target, { refusals, standbys, waitedMs: performance.now() - startedAt });
}

/** A server that is starting up is asked again until the connect timeout is over. */
async function openHost(
  target: ServerTarget,
  host: Host,
  options: SessionOptions,
): Promise<Client> {
  const deadline = performance.now() + target.connectTimeoutMs;
  for (let isAnnounced = false; ; isAnnounced = true) {
    options.signal?.throwIfAborted();
    try {
      return await openClient(
        {
          user: target.user,
          password: target.password ?? '',
          database: target.database,
          ssl: host.host.startsWith('/') ? false : tlsSettings(target.tls),
          connect_timeout: Math.ceil(target.connectTimeoutMs / 1000),
          connection: { application_name: target.applicationName },
        },
        () => openSocket(host, { timeoutMs: target.connectTimeoutMs, signal: options.signal }),
        { ...options, firstAnswerTimeoutMs: target.connectTimeoutMs },
      );
    } catch (error) {
      const isStarting = sqlState(error) === sqlErrorCodes.cannotConnectNow;
      if (!isStarting || performance.now() > deadline) throw error;
      if (!isAnnounced) {
        options.onProgress?.({ kind: 'waiting-for-server', reason: 'the server is starting up' });
      }
      await sleep(200, undefined, options.signal && { signal: options.signal });
    }
  }
}

/**
 * A postgres.js client of exactly one connection. postgres.js opens a new one silently when the
 * old one is lost and closes old ones after half an hour: both would drop the session's lock, so
 * the second socket it asks for is an error and a connection may grow as old as it likes.
 */
async function openClient(
  settings: Options<Record<string, never>>,
  openFirstSocket: () => Promise<Duplex>,
  options: SessionOptions & { readonly firstAnswerTimeoutMs: number },
): Promise<Client> {
  const { onProgress, signal, firstAnswerTimeoutMs } = options;
  let socket: Duplex | undefined;
  let isClosed = false;
  const sql = postgres({
    ...settings,
    max: 1,
    max_lifetime: null,
    idle_timeout: 0,
    fetch_types: false,
    backoff: false,
    target_session_attrs: undefined,
    onclose: () => {
      isClosed = true;
      // What was sent between the socket's error and its close is never answered otherwise.
      void sql.end({ timeout: 0 });
    },
    onnotice: ({ severity = 'NOTICE', message = '' }) => {
      onProgress?.({ kind: 'notice', severity, message });
    },
    socket: async () => {
      if (socket) return brokenSocket();
      socket = await openFirstSocket();
      return socket;
    },
  } as Options<Record<string, never>>);

  const stopWaiting = onTimeoutOrAbort({ timeoutMs: firstAnswerTimeoutMs, signal }, () =>
    socket?.destroy(noAnswer()),
  );
  try {
    // Dates come as text, in the form that the database or the role is set to.
    const [, result] = await Promise.all([
      sql.unsafe("set datestyle = 'ISO'"),
      sql<[Omit<ServerFacts, 'isPooled'> & { readonly pid: number }]>`
      select
        pg_backend_pid() as pid,
        current_setting('server_version_num')::int as version,
        current_database() as database,
        current_user as user,
        pg_is_in_recovery() or current_setting('transaction_read_only')::bool as "isReadOnly"`,
    ]);
    const [{ pid, ...facts }] = result;
    const server = { ...facts, isPooled: result.state.pid !== pid };
    return { sql, pid, server, isClosed: () => isClosed, destroy: () => socket?.destroy() };
  } catch (error) {
    await sql.end({ timeout: 0 });
    throw error;
  } finally {
    stopWaiting();
  }
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
