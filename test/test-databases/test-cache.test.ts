import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { createCache } from '../../src/cache.ts';
import { createTestCache } from '../../src/testing.ts';
import { errorOf, wordsOf } from '../support/errors.ts';
import {
  hasRedis,
  type RedisServer,
  startRedis,
  stopRedis,
  withoutRedis,
} from '../support/redis.ts';

let redis: RedisServer;
beforeAll(async () => {
  if (hasRedis) redis = await startRedis();
});
afterAll(stopRedis);
afterEach(() => vi.unstubAllEnvs());

describe.skipIf(!hasRedis)(`createTestCache${withoutRedis}`, () => {
  it('gives each test keys of its own, on the server in TEST_REDIS_URL, and removes them', async () => {
    vi.stubEnv('TEST_REDIS_URL', redis.url);
    const [one, other] = await Promise.all([createTestCache(), createTestCache()]);
    const time = new Date();
    await one.cache.prices.set([{ symbol: 'BTC', priceUsd: '1', time }]);
    await one.cache.sessions.create(randomUUID(), {});
    await redis.ask('SET', `${one.cache.queues.notifications.queue.prefix}:notifications:id`, '1');
    await other.cache.prices.set([{ symbol: 'ETH', priceUsd: '2', time }]);
    expect([...(await other.cache.prices.get(['BTC', 'ETH'])).keys()]).toEqual(['ETH']);
    const same = createCache({ target: one.url, prefix: one.prefix });
    expect((await same.prices.get(['BTC'])).size).toBe(1);
    await same.close();
    expect(await redis.ask('DBSIZE')).toBe(5);
    await one.drop();
    await one.drop();
    expect(await redis.ask('DBSIZE')).toBe(1);
    await other.drop();
    expect(await redis.ask('DBSIZE')).toBe(0);
  });

  it('reports a server that is not there', async () => {
    await errorOf('cache-unavailable', () => createTestCache({ server: 'redis://127.0.0.1:1' }));
  });
});

it('createTestCache says how to get a server when there is none', async () => {
  vi.stubEnv('TEST_REDIS_URL', '');
  vi.stubEnv('DOCKER_HOST', 'tcp://127.0.0.1:1');
  const error = await errorOf('no-test-server', () => createTestCache());
  expect(wordsOf(error)).toMatch(/TEST_REDIS_URL[\s\S]*testcontainers/);
});
