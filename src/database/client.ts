import { type Duplex, Stream } from 'node:stream';
import postgres, { type Options, type Sql } from 'postgres';
import { CryptosenseDbError } from '../runtime/errors.ts';
import type { OnProgress } from '../runtime/progress.ts';
import { backoffMs, retry } from '../runtime/retry.ts';
import { passwordFor } from './password.ts';
import { interrupted, type ReadOnlyHost, type Refusal, refused } from './refusals.ts';
import type { ServerFacts } from './server-facts.ts';
import {
  brokenSocket,
  type CheckedSocket,
  noAnswer,
  onTimeoutOrAbort,
  openSocket,
} from './socket.ts';
import { isConnectionLost, sqlErrorCodes, sqlState } from './sql-errors.ts';
import type { Host, ServerTarget } from './target.ts';
import { readTls, type TlsSettings } from './tls.ts';
import { noParsers, valueReader, withBoundValues } from './values/driver.ts';
import { builtInTypes, type ValueType } from './values/value-types.ts';

export type { Sql } from 'postgres';
export type { ServerFacts } from './server-facts.ts';

export interface ClientOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
  /** Accept a standby or a read-only server. */
  readonly isReadOnlyFine?: boolean;
  /** Keep TimescaleDB unloaded until `releaseTimescale` has run: see there. */
  readonly holdsTimescale?: boolean;
  /** Write and read values under `valueSettings` instead of the settings of role and database. */
  readonly isForValues?: boolean;
  /** Search pg_catalog alone, so that no function or operator of another schema runs. */
  readonly isCatalogOnly?: boolean;
  /** Begin every transaction read-only, also on a primary. */
  readonly isReadOnly?: boolean;
}

const timescaleHold = 'timescaledb.disable_load';

/**
 * ALTER EXTENSION timescaledb UPDATE has to come before TimescaleDB is loaded, and every statement loads it
 * (TimescaleDB documentation, "Upgrade"). In a session that holds TimescaleDB, this statement ends the hold; the
 * update has to follow at once.
 */
export const releaseTimescale = `set ${timescaleHold} = off`;

/**
 * One connection. `sql` never reconnects: once the backend is gone, every query fails. So locks and
 * settings of the session cannot be lost unnoticed.
 */
export interface Client {
  readonly sql: Sql;
  /** The types of values that are known on this connection, by object id. */
  readonly types: Map<number, ValueType>;
  readonly pid: number;
  readonly server: ServerFacts;
  readonly isClosed: () => boolean;
  readonly destroy: () => void;
}

/**
 * Opens a connection to the first host that is a primary; with `isReadOnlyFine`, to the first that
 * answers.
 * Throws `server-unreachable`, `login-refused`, `no-such-database`, `no-primary`, `interrupted`.
 */
export async function openPrimary(target: ServerTarget, options: ClientOptions): Promise<Client> {
  const hosts = target.isOrderRandom ? shuffled(target.hosts) : target.hosts;
  return openFirst(target, hosts, {
    ...options,
    judge: ({ isReadOnly }) => (!isReadOnly || options.isReadOnlyFine ? 'best' : 'unfit'),
  });
}

/**
 * Opens a read-only connection to a standby, or to another host where no standby answers, as libpq's
 * `target_session_attrs=prefer-standby` does. Tries the hosts in a random order, so that connections spread over the
 * standbys.
 * Throws `server-unreachable`, `login-refused`, `no-such-database`, and `server-unsuitable` when a pooler has let the
 * setting go.
 */
export async function openReplica(target: ServerTarget, options: ClientOptions): Promise<Client> {
  const client = await openFirst(target, shuffled(target.hosts), {
    ...options,
    isReadOnly: true,
    judge: ({ isStandby }) => (isStandby ? 'best' : 'second best'),
  });
  if (client.server.isReadOnly) return client;
  await client.sql.end({ timeout: 2 });
  throw new CryptosenseDbError('server-unsuitable', {
    message: 'the server is a primary, and the connection to it is not read-only',
    evidence: ['a pooler has left default_transaction_read_only out'],
    hint: 'name the server itself, or a pooler in front of standbys',
  });
}

/** How a server serves: no other host is tried after the best. */
type Judge = (server: ServerFacts) => 'best' | 'second best' | 'unfit';

async function openFirst(
  target: ServerTarget,
  hosts: readonly Host[],
  { judge, ...options }: ClientOptions & { readonly judge: Judge },
): Promise<Client> {
  const startedAt = performance.now();
  const refusals: Refusal[] = [];
  const standbys: ReadOnlyHost[] = [];
  const tls = readTls(target.tls);
  let secondBest: Client | undefined;
  for (const host of hosts) {
    let hasPassword = false;
    const client = await passwordFor(target, host, options)
      .then((password) => {
        hasPassword = Boolean(password);
        return openHost(target, { host, tls, password }, options);
      })
      .catch((error: unknown) => {
        refusals.push({ host, error, hasPassword });
        return undefined;
      });
    if (options.signal?.aborted) {
      await client?.sql.end({ timeout: 2 });
      await secondBest?.sql.end({ timeout: 2 });
      throw interrupted();
    }
    if (!client) continue;
    const verdict = judge(client.server);
    if (verdict === 'best') {
      await secondBest?.sql.end({ timeout: 2 });
      return client;
    }
    if (verdict === 'unfit') standbys.push({ host, server: client.server });
    if (verdict === 'unfit' || secondBest) await client.sql.end({ timeout: 2 });
    else secondBest = client;
  }
  if (secondBest) return secondBest;
  throw refused(target, { refusals, standbys, waitedMs: performance.now() - startedAt });
}

function shuffled<T>(items: readonly T[]): readonly T[] {
  const keyed = items.map((item) => ({ item, key: Math.random() }));
  return keyed.sort((a, b) => a.key - b.key).map(({ item }) => item);
}

/** Tries again while the server is starting up, until the connect timeout is over. */
function openHost(
  target: ServerTarget,
  {
    host,
    tls,
    password,
  }: {
    readonly host: Host;
    readonly tls: TlsSettings | undefined;
    readonly password: string | undefined;
  },
  options: ClientOptions,
): Promise<Client> {
  const { connectTimeoutMs } = target;
  const { signal, onProgress } = options;
  const settings = {
    // The driver uses these in its messages only. The socket is opened below.
    host: host.host,
    port: host.port,
    user: target.user,
    password: password ?? '',
    database: target.database,
    connection: {
      application_name: target.applicationName,
      ...target.settings,
      ...(options.holdsTimescale && { [timescaleHold]: 'on' }),
      // With the login: behind a pooler in transaction mode, SET would reach the sessions of other clients.
      ...(options.isReadOnly && { default_transaction_read_only: true }),
    },
  };
  const patience = { timeoutMs: connectTimeoutMs, signal };
  const open = async () => {
    signal?.throwIfAborted();
    const openHostSocket = () =>
      openSocket(host, { ...patience, tls, keepAliveMs: target.keepAliveMs });
    return openClient(settings, openHostSocket, {
      ...options,
      firstAnswerTimeoutMs: connectTimeoutMs,
    });
  };
  return retry(open, {
    signal,
    waitMs: ({ error, attempts, elapsedMs }) => {
      const isStarting = sqlState(error) === sqlErrorCodes.cannotConnectNow;
      if (!isStarting || elapsedMs > connectTimeoutMs) return undefined;
      if (attempts === 1) {
        onProgress?.({ kind: 'waiting-for-server', reason: 'the server is starting up' });
      }
      return backoffMs(attempts, { firstMs: 200, factor: 1 });
    },
  });
}

/** Opens the one session of an embedded engine. */
export async function openEmbedded(
  engine: { readonly connect: () => Duplex },
  options: ClientOptions,
): Promise<Client> {
  const client = await openClient(
    { user: 'postgres', database: 'postgres' },
    async () => Object.assign(engine.connect(), { lastWords: () => undefined }),
    { ...options, firstAnswerTimeoutMs: 60_000 },
  );
  if (options.isReadOnly) await client.sql`set default_transaction_read_only = on`;
  return client;
}

/** The server took the connection, and says nothing. */
function silence(): Error {
  const hint =
    'the server takes connections and does not answer: it is overloaded or stopped, or it is a pooler without a free connection (raise its pool_size, or connect to the server itself)';
  return Object.assign(noAnswer(), { hint });
}

interface Facts extends Omit<ServerFacts, 'isPooled'> {
  readonly pid: number;
}

/**
 * Settings under which the text of a value means the same in both directions. The time zone is UTC,
 * because a Date that goes into a date or a timestamp would be shifted by any other one. A pooler in transaction mode
 * keeps the time zone for its client, which the server reports, and loses the others.
 */
export const valueSettings = `
  set timezone = 'UTC';
  set bytea_output = 'hex';
  set extra_float_digits = 1;
  set intervalstyle = 'postgres';`;

/** The driver reads dates in ISO form only, but database or role may have set another DateStyle. */
const isoDates = `set datestyle = 'ISO'`;

/** Also fixes how the server writes definitions, which the ledger's are compared with. */
const catalogOnly = 'set search_path = pg_catalog; set quote_all_identifiers = off';

/** Qualified names: the search path of the role or the database may have another schema before pg_catalog. */
const factsQuery = `
  select
    pg_catalog.pg_backend_pid() as pid,
    pg_catalog.current_setting('server_version_num')::pg_catalog.int4 as version,
    pg_catalog.current_database() as database,
    current_user as user,
    pg_catalog.pg_is_in_recovery() as "isStandby",
    pg_catalog.pg_is_in_recovery()
      or pg_catalog.current_setting('transaction_read_only')::pg_catalog.bool as "isReadOnly",
    case
      when pg_catalog.current_setting('default_transaction_read_only')::pg_catalog.bool
        and not pg_catalog.pg_is_in_recovery()
      then (
        select source from pg_catalog.pg_settings
        where name operator(pg_catalog.=) 'default_transaction_read_only'
      )
    end as "readOnlySource"`;

/**
 * Opens a postgres.js client with exactly one connection. By default postgres.js replaces a lost
 * connection silently and closes old connections after about half an hour. Both would release the
 * session's lock. So a second socket is refused, and the connection has no maximum age.
 */
async function openClient(
  settings: Options<Record<string, never>>,
  openFirstSocket: () => Promise<Pick<CheckedSocket, 'lastWords'> & Duplex>,
  options: ClientOptions & { readonly firstAnswerTimeoutMs: number },
): Promise<Client> {
  const { onProgress, signal, firstAnswerTimeoutMs } = options;
  let socket: Awaited<ReturnType<typeof openFirstSocket>> | undefined;
  let isClosed = false;
  const types = new Map(builtInTypes);
  const driver = postgres({
    ...settings,
    types: noParsers as unknown as Record<string, never>,
    transform: { value: { from: valueReader(types) } },
    max: 1,
    max_lifetime: null,
    idle_timeout: 0,
    // `onTimeoutOrAbort` and `openSocket` see to these.
    connect_timeout: 0,
    keep_alive: null,
    ssl: false,
    // `types` knows the arrays. The driver's own query for them can end the process.
    fetch_types: false,
    backoff: false,
    target_session_attrs: undefined,
    onclose: () => {
      isClosed = true;
      // Without this, a query sent between the socket's error and its close never settles.
      void driver.end({ timeout: 0 });
    },
    onnotice: ({ severity = 'NOTICE', message = '', code }) => {
      // `withRollback` also sends ROLLBACK when a failed COMMIT has ended the transaction already.
      if (code !== sqlErrorCodes.noTransaction) onProgress?.({ kind: 'notice', severity, message });
    },
    socket: async () => {
      if (socket) return brokenSocket();
      socket = await openFirstSocket();
      return socket;
    },
  } as Options<Record<string, never>>);
  const sql = supervised(driver, {
    reasonOf: (error) => (isConnectionLost(error) ? (socket?.lastWords() ?? error) : error),
    destroy: (error) => socket?.destroy(error),
  });

  driver.options.serializers = withBoundValues(driver.options.serializers, types);

  const stopWaiting = onTimeoutOrAbort({ timeoutMs: firstAnswerTimeoutMs, signal }, () =>
    socket?.destroy(silence()),
  );
  try {
    const values = options.isForValues ? valueSettings : '';
    const path = options.isCatalogOnly ? catalogOnly : '';
    // The driver adds a result to its list when a second statement has rows, and here one has.
    const result = await sql.unsafe<[Facts]>(`${factsQuery}; ${isoDates}; ${values} ${path}`);
    const [{ pid, ...facts }] = result;
    const isPooled = result.state.pid !== pid;
    // In transaction mode, a prepared statement would be in another backend than its next query.
    if (isPooled) driver.options.prepare = false;
    return {
      sql,
      types,
      pid,
      server: { ...facts, isPooled },
      isClosed: () => isClosed || socket?.destroyed === true,
      destroy: () => socket?.destroy(),
    };
  } catch (error) {
    await driver.end({ timeout: 0 });
    throw error;
  } finally {
    stopWaiting();
  }
}

/** The parts of a postgres.js query that its connection calls. */
interface DriverQuery {
  resolve: (value: unknown) => void;
  reject: (error: unknown) => void;
  readonly streaming?: boolean;
}

interface Supervision {
  /** The error that a query rejects with instead. */
  readonly reasonOf: (error: unknown) => unknown;
  readonly destroy: (error: Error) => void;
}

/**
 * The same client with two changes. When the server has ended the connection, a query rejects with the server's own
 * words. A COPY that the caller does not expect rejects: postgres.js would resolve the query with a stream, and the
 * error of that stream would end the process.
 */
function supervised(driver: Sql, { reasonOf, destroy }: Supervision): Sql {
  const supervise = <T>(query: T): T => {
    if (!isQuery(query)) return query;
    const { resolve, reject } = query;
    query.reject = (error) => reject(reasonOf(error));
    query.resolve = (value) => {
      if (!(value instanceof Stream) || query.streaming) return resolve(value);
      const error = new TypeError('COPY needs a stream, which this query does not offer');
      value.on('error', () => {});
      reject(error);
      destroy(error);
    };
    return query;
  };
  const unsafe: Sql['unsafe'] = (...given) => supervise(driver.unsafe(...given));
  return new Proxy(driver, {
    apply: (target, self, given) => supervise(Reflect.apply(target, self, given)),
    get: (target, key) => (key === 'unsafe' ? unsafe : Reflect.get(target, key)),
  });
}

function isQuery(value: unknown): value is DriverQuery {
  return value instanceof Promise && 'resolve' in value && 'reject' in value;
}
