import { type CacheSettings, defaultPrefix, requirePrefix } from './cache.ts';
import { type NodeSend, openCache } from './connection.ts';
import { type CacheServer, readServer } from './facts.ts';
import { type KeyName, keyspace, keyspaceVersion, type Part, parts } from './keyspace.ts';
import { keyNamesOf, scanKeys } from './scan.ts';
import { type CacheTarget, parseCacheUrl } from './target.ts';

export interface CacheStatusOptions extends CacheSettings {
  readonly target: CacheTarget | string;
}

export interface PartStatus {
  readonly part: Part;
  readonly keys: number;
  /** Measured at up to 1,000 keys of each kind, and scaled to all. */
  readonly memoryBytes: number;
  /** Since the newest and the oldest value were stored, or touched; undefined for queues, and without a value. */
  readonly newestMs: number | undefined;
  readonly oldestMs: number | undefined;
}

export interface CacheStatus {
  readonly cache: string;
  /** The prefix and the release of the keys. */
  readonly prefix: string;
  readonly parts: readonly PartStatus[];
  readonly servers: readonly CacheServer[];
  /** Of all reads of the servers since they started; undefined when there were none. */
  readonly hitRatio: number | undefined;
}

/** Of which the memory and the age are asked. */
const mostMeasured = 1_000;

/**
 * The keys, memory and ages of each part. Goes through all keys with SCAN, so that the servers stay responsive; changes
 * nothing. Throws `cache-unavailable`, `package-missing`.
 */
export async function status(options: CacheStatusOptions): Promise<CacheStatus> {
  const { target, prefix = defaultPrefix, ...settings } = options;
  requirePrefix(prefix);
  const named = typeof target === 'string' ? parseCacheUrl(target) : target;
  const connection = openCache(named, settings);
  try {
    const servers = await connection.onServers(readServer);
    const found: PartStatus[] = [];
    for (const part of parts) {
      const measured: Measured[] = [];
      for (const name of keyNamesOf(part)) {
        measured.push(...(await connection.onServers((send) => measure(send, name, prefix))));
      }
      found.push(sumOf(part, measured));
    }
    const hits = servers.reduce((sum, server) => sum + server.hits, 0);
    const reads = servers.reduce((sum, server) => sum + server.misses, hits);
    return {
      cache: connection.name,
      prefix: `${prefix}:v${keyspaceVersion}`,
      parts: found,
      servers,
      hitRatio: reads === 0 ? undefined : hits / reads,
    };
  } finally {
    await connection.close();
  }
}

interface Measured {
  readonly keys: number;
  readonly memoryBytes: number;
  readonly agesMs: readonly number[];
}

async function measure(send: NodeSend, name: KeyName, prefix: string): Promise<Measured> {
  const seen = new Set<string>();
  const { lifetimeMs, fields } = keyspace[name];
  const agesMs: number[] = [];
  let measured = 0;
  let bytes = 0;
  for await (const keys of scanKeys(send, name, prefix)) {
    const fresh = keys.filter((key) => !seen.has(key));
    for (const key of fresh) seen.add(key);
    const some = fresh.slice(0, mostMeasured - measured);
    const sizes = await Promise.all(some.map((key) => send('MEMORY', 'USAGE', key)));
    // A key may have ended since SCAN found it.
    const known = sizes.filter((size) => typeof size === 'number');
    measured += known.length;
    bytes += known.reduce((sum, size) => sum + size, 0);
    if (lifetimeMs === undefined || Object.keys(fields).length === 0) continue;
    const lefts = await Promise.all(some.map((key) => send('PTTL', key)));
    agesMs.push(...lefts.map(Number).flatMap((left) => (left > 0 ? [lifetimeMs - left] : [])));
  }
  return {
    keys: seen.size,
    memoryBytes: measured === 0 ? 0 : Math.round((bytes / measured) * seen.size),
    agesMs,
  };
}

function sumOf(part: Part, measured: readonly Measured[]): PartStatus {
  const ages = measured.flatMap(({ agesMs }) => agesMs).sort((a, b) => a - b);
  return {
    part,
    keys: measured.reduce((sum, { keys }) => sum + keys, 0),
    memoryBytes: measured.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0),
    newestMs: ages[0],
    oldestMs: ages[ages.length - 1],
  };
}
