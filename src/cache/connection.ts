import type { ConnectionOptions } from 'node:tls';
import { CryptosenseDbError, isError, messageOf } from '../runtime/errors.ts';
import { requireWhole } from '../runtime/whole-numbers.ts';
import { cacheFailed, explained, isLost } from './failure.ts';
import { type CacheTarget, describeCache } from './target.ts';

/** Of Node's TLS. `rediss://` decides whether TLS is used. */
export type CacheTls = Pick<
  ConnectionOptions,
  'ca' | 'cert' | 'key' | 'passphrase' | 'servername' | 'rejectUnauthorized'
>;

export interface ConnectionSettings {
  /** How Redis lists the connections. Default `cryptosense-db`. */
  readonly clientName?: string | undefined;
  /** How long a connection may take to open, login included. Default 2,000. */
  readonly connectTimeoutMs?: number | undefined;
  /** How long an answer may take. Default 1,000. */
  readonly commandTimeoutMs?: number | undefined;
  /** After a loss, this long no connection is tried and every call is refused at once. Default 1,000. */
  readonly retryAfterMs?: number | undefined;
  readonly tls?: CacheTls | undefined;
}

export type Send = (
  args: readonly [command: string, ...rest: string[]],
  routing: { readonly key: string; readonly access: 'read' | 'write' },
) => Promise<unknown>;

/** Sends a command to one server. */
export type NodeSend = (...args: readonly [command: string, ...rest: string[]]) => Promise<unknown>;

export interface CacheConnection {
  readonly target: CacheTarget;
  /** The URL, without its password. */
  readonly name: string;
  /** Sends a command to the server of the key. Throws `cache-unavailable`, `package-missing`. */
  readonly send: Send;
  /** Does the work on the server, or on each primary of a cluster one after the other. */
  readonly onServers: <T>(work: (send: NodeSend) => Promise<T>) => Promise<readonly T[]>;
  /** Waits for no answer. Calls reject afterwards. */
  readonly close: () => Promise<void>;
}

interface Client {
  readonly send: Send;
  readonly servers: () => Promise<readonly NodeSend[]>;
  readonly destroy: () => void;
  /** Whether the client has ended by itself, after the loss of its connection. */
  readonly isOpen: () => boolean;
}

type Software = typeof import('@redis/client');

/** The commands that may wait for an answer at once. A server that stalls must not fill the memory of a service. */
const mostWaiting = 50_000;

/**
 * A connection that opens with the first command. One that is lost is opened again by a later command, after a rest, so
 * that calls between them are refused at once. Throws `bad-configuration` for a setting out of range.
 */
export function openCache(target: CacheTarget, settings: ConnectionSettings = {}): CacheConnection {
  const { connectTimeoutMs = 2_000, commandTimeoutMs = 1_000, retryAfterMs = 1_000 } = settings;
  requireWhole({ connectTimeoutMs, commandTimeoutMs }, { from: 1, to: 2 ** 31 - 1 });
  requireWhole({ retryAfterMs }, { from: 0, to: 2 ** 31 - 1 });
  const name = describeCache(target);
  let opening: Promise<Client> | undefined;
  let resting: { readonly until: number; readonly error: unknown } | undefined;
  let isClosed = false;

  const lose = (lost: Promise<Client>, error: unknown) => {
    if (opening !== lost) return;
    opening = undefined;
    resting = { until: performance.now() + retryAfterMs, error };
    lost.then(({ destroy }) => destroy()).catch(() => {});
  };
  const use = async <T>(work: (client: Client) => Promise<T>): Promise<T> => {
    if (isClosed) throw cacheFailed(name, 'closed');
    if (resting && performance.now() < resting.until) throw resting.error;
    opening ??= openClient(target, { ...settings, connectTimeoutMs });
    const used = opening;
    try {
      const client = await used;
      if (!client.isOpen()) {
        // The connection ended while nothing was asked. The next one is tried at once.
        if (opening === used) opening = undefined;
        return await use(work);
      }
      return await work(client);
    } catch (error) {
      if (!isError(error, 'cache-unavailable')) throw error;
      if (isClosed) throw cacheFailed(name, 'closed');
      if (isLost(error.details.reason)) lose(used, error);
      throw error;
    }
  };
  const answer = <T>(work: Promise<T>): Promise<T> =>
    within(work, commandTimeoutMs, () =>
      cacheFailed(name, 'slow', `after ${commandTimeoutMs} ms`),
    ).catch((error: unknown) => {
      throw explained(error, name);
    });
  return {
    target,
    name,
    send: (args, routing) => use((client) => answer(client.send(args, routing))),
    onServers: (work) =>
      use(async ({ servers }) => {
        const results = [];
        for (const send of await answer(servers())) {
          results.push(await work((...args) => answer(send(...args))));
        }
        return results;
      }),
    close: async () => {
      isClosed = true;
      const client = await opening?.catch(() => undefined);
      client?.destroy();
    },
  };
}

async function openClient(
  target: CacheTarget,
  settings: ConnectionSettings & { readonly connectTimeoutMs: number },
): Promise<Client> {
  const { connectTimeoutMs } = settings;
  const name = describeCache(target);
  const { client, connect } = createClient(await loadSoftware(), target, settings);
  try {
    // The client's own limit ends with the TCP connection. A server that stalls accepts one and answers nothing.
    await within(connect(), connectTimeoutMs, () =>
      cacheFailed(name, 'unreachable', `after ${connectTimeoutMs} ms`),
    );
    return client;
  } catch (error) {
    client.destroy();
    throw explained(error, name);
  }
}

interface Unconnected {
  readonly client: Client;
  readonly connect: () => Promise<unknown>;
}

function createClient(
  { createClient, createCluster, createSentinel }: Software,
  { kind, hosts, service, database, username, password, isTls }: CacheTarget,
  {
    clientName = 'cryptosense-db',
    connectTimeoutMs,
    tls,
  }: ConnectionSettings & {
    readonly connectTimeoutMs: number;
  },
): Unconnected {
  const secured = isTls ? { ...tls, tls: true as const } : {};
  const login = {
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
  };
  const common = {
    ...login,
    name: clientName,
    disableOfflineQueue: true,
    commandsQueueMaxLength: mostWaiting,
    // A name of the client's software, which Redis knows from 7.2 on only.
    disableClientInfo: true,
    // It is for Redis Enterprise, and another server refuses it with each connection.
    maintNotifications: 'disabled' as const,
  };
  // `within` limits the time of a command. The client's own limit ends once the command is sent.
  const commandOptions = { timeout: 0 };
  const socket = { ...secured, connectTimeout: connectTimeoutMs };
  switch (kind) {
    case 'server': {
      const [{ host, port } = { host: '', port: 0 }] = hosts;
      const client = createClient({
        ...common,
        commandOptions,
        database,
        // The next command opens a new client.
        socket: { ...socket, host, port, reconnectStrategy: false },
      }).on('error', passOver);
      const send: NodeSend = (...args) => client.sendCommand(args);
      return {
        connect: () => client.connect(),
        client: {
          send: (args) => client.sendCommand([...args]),
          servers: async () => [send],
          destroy: () => client.destroy(),
          isOpen: () => client.isOpen,
        },
      };
    }
    case 'cluster': {
      const cluster = createCluster({
        rootNodes: hosts.map(({ host, port }) => ({
          ...common,
          socket: { ...socket, host, port },
        })),
        defaults: { ...common, socket },
        commandOptions,
      }).on('error', passOver);
      return {
        connect: () => cluster.connect(),
        client: {
          send: (args, { key, access }) => cluster.sendCommand(key, access === 'read', [...args]),
          servers: () =>
            Promise.all(
              cluster.masters.map(async (master) => {
                const node = await cluster.nodeClient(master);
                return (...args: readonly string[]) => node.sendCommand([...args]);
              }),
            ),
          destroy: () => cluster.destroy(),
          isOpen: () => cluster.isOpen,
        },
      };
    }
    case 'sentinel': {
      const sentinel = createSentinel({
        name: service,
        sentinelRootNodes: hosts.map(({ host, port }) => ({ host, port })),
        nodeClientOptions: { ...common, database, socket },
        sentinelClientOptions: { socket },
        commandOptions,
      }).on('error', passOver);
      const send: NodeSend = (...args) => sentinel.sendCommand(false, [...args]);
      return {
        connect: () => sentinel.connect(),
        client: {
          send: (args) => sentinel.sendCommand(false, [...args]),
          servers: async () => [send],
          destroy: () => void sentinel.destroy(),
          isOpen: () => sentinel.isOpen,
        },
      };
    }
    default:
      return kind satisfies never;
  }
}

/** An error without a listener would end the process. The command that meets it rejects with it. */
function passOver(): void {}

let loaded: Promise<Software> | undefined;

async function loadSoftware(): Promise<Software> {
  loaded ??= import('@redis/client');
  try {
    return await loaded;
  } catch (error) {
    loaded = undefined;
    throw new CryptosenseDbError(
      'package-missing',
      {
        message: 'the package @redis/client, which talks to Redis, cannot be loaded',
        evidence: [messageOf(error).split('\n')[0] ?? ''],
        hint: 'npm install @redis/client@6',
      },
      { details: { package: '@redis/client' }, cause: error },
    );
  }
}

/** The result of the work, or what `late` returns as an error. The work goes on, and nothing waits for it. */
function within<T>(work: Promise<T>, timeoutMs: number, late: () => Error): Promise<T> {
  return new Promise((resolve, reject) => {
    // After a pause of the process, an answer may have arrived that is not read yet. It is read before an immediate runs.
    const timer = setTimeout(() => setImmediate(() => reject(late())), timeoutMs);
    work.then(
      (result) => {
        clearTimeout(timer);
        resolve(result);
      },
      (error: unknown) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}
