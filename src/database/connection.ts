import { readFileSync } from 'node:fs';
import { connect as connectTcp, type Socket } from 'node:net';
import { type Duplex, PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import postgres, { type Options, type Sql } from 'postgres';
import { CryptosenseDbError, isError, type Problem } from '../errors.ts';
import type { OnProgress } from '../progress.ts';
import {
  describeHost,
  describeTarget,
  type EmbeddedTarget,
  type Host,
  type ServerTarget,
  type Target,
  type TlsOptions,
} from './target.ts';

export type { Row, Sql } from 'postgres';
export type SqlError = postgres.PostgresError;

export const sqlErrorCodes = {
  invalidPassword: '28P01',
  invalidAuthorization: '28000',
  noSuchDatabase: '3D000',
  databaseExists: '42P04',
  uniqueViolation: '23505',
  duplicateTable: '42P07',
  cannotConnectNow: '57P03',
  queryCanceled: '57014',
  adminShutdown: '57P01',
  crashShutdown: '57P02',
  insufficientPrivilege: '42501',
  lockNotAvailable: '55P03',
  deadlockDetected: '40P01',
  inFailedTransaction: '25P02',
  objectInUse: '55006',
} as const;

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
  /** Accept a standby or a read-only server. */
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
  const { openEmbeddedEngine } = await import('./embedded.ts');
  const { folder } = target;
  const { lockTimeoutMs } = options;
  const engine = await openEmbeddedEngine({
    ...(folder !== undefined && { folder }),
    ...(lockTimeoutMs !== undefined && { lockTimeoutMs }),
  });
  try {
    const client = await openClient(
      { user: 'postgres', database: 'postgres', ssl: false, connect_timeout: 60 },
      async () => engine.connect(),
      { ...options, firstAnswerTimeoutMs: 60_000 },
    );
    // The engine calls its one database template1; people know it by its folder.
    const server = { ...client.server, database: describeTarget(target) };
    return await useClient({ ...client, server }, target, options, use);
  } finally {
    await engine.close();
  }
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

/** A host that did not serve, and why. */
interface Refusal {
  readonly host: Host;
  readonly error: unknown;
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
    const result = await sql<[Omit<ServerFacts, 'isPooled'> & { readonly pid: number }]>`
      select
        pg_backend_pid() as pid,
        current_setting('server_version_num')::int as version,
        current_database() as database,
        current_user as user,
        pg_is_in_recovery() or current_setting('transaction_read_only')::bool as "isReadOnly"`;
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

interface Patience {
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

/** Calls `giveUp` when the time is up or the signal fires, unless the returned function is called first. */
function onTimeoutOrAbort({ timeoutMs, signal }: Patience, giveUp: () => void): () => void {
  const timer = setTimeout(giveUp, timeoutMs);
  signal?.addEventListener('abort', giveUp, { once: true });
  return () => {
    clearTimeout(timer);
    signal?.removeEventListener('abort', giveUp);
  };
}

function noAnswer(): Error {
  return Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' });
}

/** postgres.js takes a failing socket in its stride, but hangs when there is none. */
function brokenSocket(): Duplex {
  const socket = new PassThrough();
  const lost = Object.assign(new Error('the connection was lost'), { code: 'CONNECTION_CLOSED' });
  setImmediate(() => socket.destroy(lost));
  return socket;
}

function openSocket({ host, port }: Host, patience: Patience): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = host.startsWith('/')
      ? connectTcp({ path: `${host}/.s.PGSQL.${port}` })
      : connectTcp({ host, port, noDelay: true });
    const stopWaiting = onTimeoutOrAbort(patience, () => socket.destroy(noAnswer()));
    socket.once('error', (error) => {
      stopWaiting();
      reject(error);
    });
    socket.once('connect', () => {
      stopWaiting();
      resolve(Object.assign(socket, { host }));
    });
  });
}

/** libpq's sslmode in the terms of node:tls. `require` with a root certificate verifies it, as there. */
function tlsSettings({ mode, rootCertificate, certificate, key }: TlsOptions) {
  if (mode === 'disable') return false;
  if (mode === 'allow' || mode === 'prefer') return 'prefer';
  const isVerified = mode !== 'require' || rootCertificate !== undefined;
  return {
    rejectUnauthorized: isVerified,
    ...(mode !== 'verify-full' && { checkServerIdentity: () => undefined }),
    ...(rootCertificate && rootCertificate !== 'system' && { ca: readPem(rootCertificate) }),
    ...(certificate && { cert: readPem(certificate) }),
    ...(key && { key: readPem(key) }),
  };
}

function readPem(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new CryptosenseDbError(
      'file-problem',
      { message: `the certificate file ${path} cannot be read`, evidence: [messageOf(cause)] },
      { details: { path }, cause },
    );
  }
}

interface Refusals {
  readonly refusals: readonly Refusal[];
  readonly standbys: readonly Host[];
  readonly waitedMs: number;
}

function refused(
  target: ServerTarget,
  { refusals, standbys, waitedMs }: Refusals,
): CryptosenseDbError | unknown {
  const own = refusals.find(({ error }) => isError(error));
  if (own) return own.error;

  const answered = refusals.find(({ error }) => sqlState(error) !== undefined);
  if (answered && standbys.length === 0) return loginRefused(target, answered);

  const hosts = target.hosts.map(describeHost);
  const evidence = [
    ...standbys.map((host) => `${describeHost(host)}  is a standby or read only`),
    ...refusals.map(({ host, error }) => `${describeHost(host)}  ${messageOf(error)}`),
  ];
  if (standbys.length > 0) {
    return new CryptosenseDbError(
      'no-primary',
      {
        message: `none of ${hosts.join(', ')} is a primary that takes writes`,
        evidence,
        hint: 'name the primary, or every host of the cluster: postgresql://user@host1,host2/database',
      },
      { details: { hosts } },
    );
  }
  return new CryptosenseDbError(
    'server-unreachable',
    {
      message: `no server answered at ${hosts.join(', ')} (tried for ${duration(waitedMs)})`,
      evidence,
      hint: 'start the server, or wait for it with: cryptosense-db db wait',
    },
    { details: { hosts, waitedMs }, cause: refusals[0]?.error },
  );
}

function loginRefused(target: ServerTarget, { host, error }: Refusal): CryptosenseDbError {
  const { user, database, password } = target;
  const evidence = [`${describeHost(host)}  ${messageOf(error)}`];
  switch (sqlState(error)) {
    case sqlErrorCodes.noSuchDatabase:
      return new CryptosenseDbError(
        'no-such-database',
        {
          message: `the database "${database}" does not exist`,
          evidence,
          hint: 'create it with: cryptosense-db db create',
        },
        { details: { database }, cause: error },
      );
    case sqlErrorCodes.invalidPassword:
    case sqlErrorCodes.invalidAuthorization: {
      const problem: Problem = {
        message: `the server does not let the user "${user}" in${password ? '' : ' without a password'}`,
        evidence,
        hint: 'give the right user and password in DATABASE_URL or DATABASE_PASSWORD',
      };
      return new CryptosenseDbError('login-refused', problem, { details: { user }, cause: error });
    }
    default:
      return new CryptosenseDbError(
        'server-unreachable',
        { message: `the server turned the connection to "${database}" away`, evidence },
        { details: { hosts: [describeHost(host)], waitedMs: 0 }, cause: error },
      );
  }
}

/** `completed` is committed; of `pending`, the first may be too, when COMMIT was its last word. */
export function connectionLost(
  target: Target,
  {
    cause,
    ...progress
  }: {
    readonly cause: unknown;
    readonly completed: readonly string[];
    readonly pending: readonly string[];
  },
): CryptosenseDbError<'connection-lost'> {
  const { completed, pending } = progress;
  return new CryptosenseDbError(
    'connection-lost',
    {
      message: `the connection to ${describeTarget(target)} was lost`,
      evidence: [
        isSqlError(cause) ? messageOf(cause) : 'the server, or something on the way, closed it',
        ...(completed.length + pending.length === 0
          ? []
          : [`${completed.length} done, ${pending.length} still to do`]),
      ],
      hint: 'what was not committed is rolled back; run the same command again to go on',
    },
    { details: progress, cause },
  );
}

/** One of the tool's own statements: migrations' failures are told by those who run them. */
function statementRefused(cause: SqlError): CryptosenseDbError {
  const { message, code, detail, hint } = cause;
  const problem: Problem = {
    message,
    evidence: [...(detail ? [`detail: ${detail}`] : []), `SQLSTATE ${code}`],
    ...(hint && { hint }),
  };
  return code === sqlErrorCodes.insufficientPrivilege
    ? new CryptosenseDbError('not-permitted', problem, { cause })
    : new CryptosenseDbError('statement-refused', problem, { details: { sqlState: code }, cause });
}

/** The error of a run that a signal ended; `completed` is committed, `pending` untouched. */
export function interrupted(progress: {
  readonly completed: readonly string[];
  readonly pending: readonly string[];
}): CryptosenseDbError<'interrupted'> {
  const { completed, pending } = progress;
  return new CryptosenseDbError(
    'interrupted',
    {
      message: 'interrupted; the step that was running is rolled back',
      evidence: [`${completed.length} done, ${pending.length} still to do`],
    },
    { details: progress },
  );
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

/** The SQLSTATE of a server's error, undefined for anything else. */
export function sqlState(error: unknown): string | undefined {
  return isSqlError(error) ? error.code : undefined;
}

export function isSqlError(error: unknown): error is SqlError {
  return error instanceof postgres.PostgresError;
}

/** True when the backend is gone: killed, crashed, restarted, or out of reach. */
export function isConnectionLost(error: unknown): boolean {
  if (isSqlError(error)) {
    return error.severity === 'FATAL' || error.severity === 'PANIC';
  }
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return [
    'CONNECTION_CLOSED',
    'CONNECTION_DESTROYED',
    'CONNECTION_ENDED',
    'ECONNRESET',
    'EPIPE',
  ].some((known) => known === code);
}

/** An error's own words; system errors that bundle several name each. */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError) {
    return [...new Set(error.errors.map(messageOf))].join(', ');
  }
  return error instanceof Error ? error.message : String(error);
}

function duration(ms: number): string {
  return ms < 1_000 ? `${Math.ceil(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}
