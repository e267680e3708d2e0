import { withSession } from '../database/connection.ts';
import { describeTarget, resolveTarget, type Target } from '../database/target.ts';
import { guardDestruction } from '../ledger/environment.ts';
import { readLedger } from '../ledger/ledger.ts';
import type { OnProgress } from '../runtime/progress.ts';
import { type CacheSettings, defaultPrefix, requirePrefix } from './cache.ts';
import { openCache } from './connection.ts';
import type { Part } from './keyspace.ts';
import { keyNamesOf, scanKeys } from './scan.ts';
import { type CacheTarget, parseCacheUrl } from './target.ts';

/** The parts that can be cleared. A queue holds work that is not done, which its own tools remove. */
export type ClearablePart = Exclude<Part, 'queues'>;

export interface ClearOptions extends CacheSettings {
  readonly part: ClearablePart;
  readonly cache: CacheTarget | string;
  /** The database whose mark guards the cache. */
  readonly target: Target | string;
  /** The database's name, which confirms that it is meant. */
  readonly force?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}

export interface ClearResult {
  readonly cache: string;
  readonly target: string;
  readonly part: ClearablePart;
  readonly keys: number;
}

/**
 * Removes every key of a part, of this prefix and release. Refuses as `database.reset` does: beside a production or
 * staging database, and one without a mark that has rows. Throws `environment-refused`, `cache-unavailable`,
 * `package-missing`.
 */
export async function clear(options: ClearOptions): Promise<ClearResult> {
  const { part, cache, force, prefix = defaultPrefix, signal, onProgress, ...settings } = options;
  requirePrefix(prefix);
  const named = typeof cache === 'string' ? parseCacheUrl(cache) : cache;
  const target = resolveTarget(options.target);
  await withSession(target, { signal, onProgress, isCatalogOnly: true }, async (session) => {
    const request = {
      operation: `have the ${part} of its cache cleared`,
      count: 'all',
      force,
    } as const;
    await guardDestruction({ session, ledger: await readLedger(session) }, request);
  });
  const connection = openCache(named, settings);
  try {
    const removed = await connection.onServers(async (send) => {
      let count = 0;
      for (const name of keyNamesOf(part)) {
        for await (const keys of scanKeys(send, name, prefix)) {
          signal?.throwIfAborted();
          // One by one: the keys of a page are in different slots of a cluster.
          const replies = await Promise.all(keys.map((key) => send('UNLINK', key)));
          count += replies.reduce<number>((sum, reply) => sum + Number(reply), 0);
        }
      }
      return count;
    });
    const keys = removed.reduce((sum, count) => sum + count, 0);
    return { cache: connection.name, target: describeTarget(target), part, keys };
  } finally {
    await connection.close();
  }
}
