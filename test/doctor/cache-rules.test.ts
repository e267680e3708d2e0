import { describe, expect, it } from 'vitest';
import type { CacheFacts, CacheServer } from '../../src/cache/facts.ts';
import { cache } from '../../src/doctor/topics/cache.ts';

const server: CacheServer = {
  ...{ name: 'port 6379', version: '7.0.15', isReplica: false, policy: 'noeviction' },
  ...{ maxMemory: 1_000, usedMemory: 100, evictedKeys: 0, hits: 1, misses: 1 },
  ...{ hasAppendOnlyFile: true, hasSnapshots: true, isPersistenceBroken: false },
};
const sound: CacheFacts = {
  ...{
    cache: 'rediss://cache:6379/0',
    servers: [server],
    stored: ['sessions', 'prices', 'queues'],
  },
  ...{ isTls: true, isLoopback: false, user: 'api', hasPassword: true },
};

/** `rule severity` of each finding. */
function judge(
  changes: Partial<CacheFacts>,
  ofServer: Partial<CacheServer> = {},
): readonly string[] {
  const facts = { ...sound, servers: [{ ...server, ...ofServer }], ...changes };
  return cache.rules.flatMap(({ name, judge: apply }) =>
    [apply({ facts, failure: null }, { now: new Date() }) ?? []]
      .flat()
      .map(({ severity }) => `${name} ${severity}`),
  );
}

describe('the rules about a cache', () => {
  it('find nothing in a sound one', () => {
    expect(judge({})).toEqual([]);
  });

  it.each([
    ['an old server', {}, { version: '6.2.14' }, ['cache-version critical']],
    [
      'queues under eviction of all keys',
      { stored: ['queues'] },
      { policy: 'allkeys-lru' },
      ['cache-eviction critical'],
    ],
    [
      'queues under eviction of keys that end',
      { stored: ['queues'] },
      { policy: 'volatile-ttl' },
      ['cache-eviction warning'],
    ],
    [
      'sessions under eviction',
      { stored: ['sessions'] },
      { policy: 'volatile-lru' },
      ['cache-eviction warning'],
    ],
    ['prices alone without eviction', { stored: ['prices'] }, {}, ['cache-eviction note']],
    ['prices alone with eviction', { stored: ['prices'] }, { policy: 'volatile-ttl' }, []],
    [
      'no persistence',
      {},
      { hasAppendOnlyFile: false, hasSnapshots: false },
      ['cache-persistence warning'],
    ],
    [
      'no persistence, prices alone',
      { stored: ['prices'] },
      { policy: 'volatile-ttl', hasAppendOnlyFile: false, hasSnapshots: false },
      [],
    ],
    ['a failing disk', {}, { isPersistenceBroken: true }, ['cache-persistence critical']],
    ['no limit of memory', {}, { maxMemory: 0 }, ['cache-memory warning']],
    ['memory that is nearly used', {}, { usedMemory: 850 }, ['cache-memory warning']],
    ['memory that is used', {}, { usedMemory: 960 }, ['cache-memory critical']],
    ['no TLS', { isTls: false }, {}, ['cache-tls warning']],
    ['no TLS on this machine', { isTls: false, isLoopback: true }, {}, []],
    ['no password', { user: 'default', hasPassword: false }, {}, ['cache-login critical']],
    [
      'no password on this machine',
      { user: 'default', hasPassword: false, isLoopback: true },
      {},
      ['cache-login note'],
    ],
    ['the user default', { user: 'default' }, {}, ['cache-login note']],
  ] as const)('judge %s', (_, changes, ofServer, expected) => {
    expect(judge(changes, ofServer)).toEqual(expected);
  });
});
