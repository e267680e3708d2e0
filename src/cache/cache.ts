import { CryptosenseDbError } from '../runtime/errors.ts';
import { type CacheConnection, type ConnectionSettings, openCache } from './connection.ts';
import { type Prices, pricesOf } from './prices.ts';
import { type Queues, queuesOf } from './queues.ts';
import { type Sessions, sessionsOf } from './sessions.ts';
import { type CacheTarget, parseCacheUrl } from './target.ts';

export interface CacheSettings extends ConnectionSettings {
  /** How every key begins; behind it stands the release of the keyspace. Default `cryptosense`. */
  readonly prefix?: string | undefined;
}

export interface Cache<Data = unknown> {
  readonly sessions: Sessions<Data>;
  readonly prices: Prices;
  readonly queues: Queues;
  /** Connects, and waits for an answer of each server. Throws `cache-unavailable`, `package-missing`. */
  readonly ping: () => Promise<void>;
  /** Closes the connections. Calls that wait for an answer reject. */
  readonly close: () => Promise<void>;
}

export const defaultPrefix = 'cryptosense';

/** Throws `bad-configuration` for a prefix that would change the hash tags of the keys. */
export function requirePrefix(prefix: string): string {
  if (/^[\w-]+$/.test(prefix)) return prefix;
  throw new CryptosenseDbError('bad-configuration', {
    message: `the prefix of the cache is ${JSON.stringify(prefix)}; it can be letters, digits, - and _`,
  });
}

/** The parts of the keyspace over a connection. Connects with the first command. */
export function cacheOver<Data>(connection: CacheConnection, prefix: string): Cache<Data> {
  return {
    sessions: sessionsOf<Data>(connection, prefix),
    prices: pricesOf(connection, prefix),
    queues: queuesOf(prefix),
    ping: async () => void (await connection.onServers((send) => send('PING'))),
    close: connection.close,
  };
}

/** Throws `bad-configuration`. */
export function createCacheAt<Data>(
  target: CacheTarget | string,
  { prefix = defaultPrefix, ...settings }: CacheSettings = {},
): Cache<Data> {
  const named = typeof target === 'string' ? parseCacheUrl(target) : target;
  return cacheOver(openCache(named, settings), requirePrefix(prefix));
}
