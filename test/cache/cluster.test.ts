import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { freePort } from '../support/embedded-postgres.ts';
import { temporaryFolder } from '../support/fixtures.ts';
import { priceDatabase } from '../support/prices.ts';
import { until } from '../support/recovery.ts';
import { hasRedis, openTestCache, startRedis, stopRedis, withoutRedis } from '../support/redis.ts';

afterAll(stopRedis);

const patient = { commandTimeoutMs: 5_000, connectTimeoutMs: 10_000, retryAfterMs: 100 };

/** Three primaries that share the slots; the URL of the cluster. */
async function startCluster() {
  const startNode = async (bus: string) => {
    const flags = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '2000'];
    return { bus, ...(await startRedis(...flags, '--cluster-port', bus)) };
  };
  const nodes = await Promise.all(
    [1, 2, 3].map(async () =>
      // By default the bus has the port plus 10,000, which may be none.
      startNode(String(await freePort())),
    ),
  );
  const [first] = nodes;
  for (const [at, node] of nodes.entries()) {
    const [from, to] = [at * 5_462, Math.min(at * 5_462 + 5_461, 16_383)];
    await node.ask('CLUSTER', 'ADDSLOTSRANGE', String(from), String(to));
    if (first && at > 0)
      await node.ask('CLUSTER', 'MEET', '127.0.0.1', String(first.port), first.bus);
  }
  for (const node of nodes) {
    const isReady = async () =>
      String(await node.ask('CLUSTER', 'INFO')).includes('cluster_state:ok');
    await until('the cluster is ready', isReady);
  }
  const hosts = nodes.slice(0, 2).map(({ port }) => `127.0.0.1:${port}`);
  return { nodes, target: `redis+cluster://${hosts.join(',')}` };
}

describe.skipIf(!hasRedis)(`a Redis Cluster of three nodes${withoutRedis}`, () => {
  it('serves sessions and prices, and the keys of a script are on one node', async () => {
    const { db, countQueries } = await priceDatabase();
    const { nodes, target } = await startCluster();
    const { sessions, prices, ping } = openTestCache({ target, ...patient });
    await ping();
    const userId = randomUUID();
    const ids = await Promise.all(
      Array.from({ length: 30 }, (_, at) => sessions.create(userId, { at })),
    );
    const found = await Promise.all(ids.map(sessions.get));
    expect(found.map((session) => session?.data)).toEqual(ids.map((_, at) => ({ at })));
    const sizes = await Promise.all(nodes.map(({ ask }) => ask('DBSIZE')));
    expect(Math.min(...sizes.map(Number))).toBeGreaterThan(0);
    expect(await sessions.touch(ids[0] ?? '')).toBe(true);
    expect(await sessions.destroyAllOf(userId)).toBe(30);

    await prices.set([{ symbol: 'BTC', priceUsd: '1', time: new Date() }]);
    expect((await prices.readThrough(db, ['BTC', 'ETH', 'NONE'])).size).toBe(2);
    expect((await prices.get(['BTC', 'ETH', 'NONE'])).size).toBe(2);
    expect(await countQueries()).toBe(1);
  });

  it('a killed node: PostgreSQL answers for its keys, and no error ends the process', async () => {
    const { db } = await priceDatabase();
    const { nodes, target } = await startCluster();
    const { prices } = openTestCache({ target, ...patient, commandTimeoutMs: 500 });
    await prices.set([{ symbol: 'BTC', priceUsd: '1', time: new Date() }]);
    const sizes = await Promise.all(nodes.map(({ ask }) => ask('DBSIZE')));
    const holder = nodes[sizes.findIndex((size) => Number(size) > 0)];
    await holder?.kill();
    expect((await prices.readThrough(db, ['BTC'])).get('BTC')?.priceUsd).toBe('43012.50000000');
    expect(prices.counters().bypasses).toBe(1);
    await holder?.start();
    await until('the cluster answers', () =>
      prices.get(['BTC']).then(
        () => true,
        () => false,
      ),
    );
  });
});

describe.skipIf(!hasRedis)(`Sentinel${withoutRedis}`, () => {
  it('names the primary', async () => {
    const primary = await startRedis();
    const port = await freePort();
    const file = join(temporaryFolder(), 'sentinel.conf');
    writeFileSync(file, `port ${port}\nsentinel monitor main 127.0.0.1 ${primary.port} 1\n`);
    await startRedis(file, '--sentinel');
    const target = `redis+sentinel://127.0.0.1:${port}/main`;
    const { prices, ping } = openTestCache({ target, ...patient });
    await ping();
    await prices.set([{ symbol: 'BTC', priceUsd: '1', time: new Date() }]);
    expect((await prices.get(['BTC'])).size).toBe(1);
    expect(Number(await primary.ask('DBSIZE'))).toBe(1);
  });
});
