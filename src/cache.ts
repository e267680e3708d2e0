/**
 * The typed client of Redis for services: sessions, live prices, and the settings of queues. It loads the optional
 * package `@redis/client` with its first command.
 */

import { type Cache, type CacheSettings, createCacheAt } from './cache/cache.ts';
import type { CacheTarget } from './cache/target.ts';
import { readCacheUrl, surroundings } from './config.ts';

export type { Cache, CacheSettings } from './cache/cache.ts';
export type { CacheTls } from './cache/connection.ts';
/** Every key of the cache, as data, and the release that stands in the keys. */
export { keyspace, keyspaceVersion } from './cache/keyspace.ts';
export type { Price, PriceCounters, Prices, PriceToStore } from './cache/prices.ts';
export type { Queue, QueueName, Queues } from './cache/queues.ts';
export type { Session, Sessions } from './cache/sessions.ts';
export { type CacheTarget, parseCacheUrl } from './cache/target.ts';
export {
  type CacheFailure,
  CryptosenseDbError,
  type ErrorCode,
  type ErrorDetails,
  isError,
  type Problem,
} from './runtime/errors.ts';

export interface CacheOptions extends CacheSettings {
  /** A URL, or a target that was read before. Default: REDIS_URL of the environment, else of `.env`. */
  readonly target?: CacheTarget | string | undefined;
}

/**
 * The cache that `target` names, else REDIS_URL. Connects with the first command. `Data` is what the service keeps in a
 * session; it has to be JSON, and is not checked when it is read.
 *
 * Throws `bad-configuration` at once. Commands reject with `cache-unavailable`, whose `details.reason` says why, or with
 * `package-missing`; only `prices.readThrough` answers without Redis. No loss of a connection ends the process.
 *
 * @example
 * const cache = createCache<{ role: string }>();
 * const id = await cache.sessions.create(userId, { role: 'admin' });
 * const prices = await cache.prices.readThrough(db, ['BTC', 'ETH']);
 * await cache.close();
 */
export function createCache<Data = unknown>({
  target,
  ...settings
}: CacheOptions = {}): Cache<Data> {
  return createCacheAt<Data>(target ?? readCacheUrl({}, surroundings()), settings);
}
