import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, it, onTestFinished } from 'vitest';
import { createCache } from '../../src/cache.ts';
import { hasOpenssl, makeCertificate } from '../support/certificates.ts';
import { freePort } from '../support/embedded-postgres.ts';
import { errorOf } from '../support/errors.ts';
import { priceDatabase } from '../support/prices.ts';
import { until } from '../support/recovery.ts';
import {
  hasRedis,
  openTestCache,
  type RedisServer,
  startRedis,
  stopRedis,
  withoutRedis,
} from '../support/redis.ts';

afterAll(stopRedis);

const quick = { commandTimeoutMs: 400, connectTimeoutMs: 1_000, retryAfterMs: 100 };
const btc = () => ({ symbol: 'BTC', priceUsd: '1', time: new Date() });

function open({ url: target }: Pick<RedisServer, 'url'>, prefix = randomUUID()) {
  return openTestCache({ target, prefix, ...quick });
}

function failure(reason: string) {
  return { code: 'cache-unavailable', details: { reason } };
}

describe('a cache that is not there', () => {
  it('is one clear error, without the password, and PostgreSQL answers', async () => {
    const { db, countQueries } = await priceDatabase();
    const port = await freePort();
    const { prices, sessions, ping } = open({ url: `redis://:secret@127.0.0.1:${port}` });
    const error = await errorOf('cache-unavailable', ping);
    expect(error).toMatchObject(failure('unreachable'));
    expect(error.message).toBe(
      `the cache redis://127.0.0.1:${port}/0 does not answer\nconnect ECONNREFUSED 127.0.0.1:${port}`,
    );
    await expect(prices.get(['BTC'])).rejects.toMatchObject(failure('unreachable'));
    await expect(sessions.create(randomUUID(), {})).rejects.toMatchObject(failure('unreachable'));
    const answers = await Promise.all([1, 2, 3].map(() => prices.readThrough(db, ['BTC'])));
    expect(answers.map(({ size }) => size)).toEqual([1, 1, 1]);
    expect(await countQueries()).toBe(1);
    expect(prices.counters()).toMatchObject({ queries: 1, bypasses: 1 });
  });

  it('is refused at once for a moment after a failed attempt', async () => {
    const { ping } = openTestCache({
      target: 'redis://10.255.255.1:6379',
      connectTimeoutMs: 400,
      retryAfterMs: 60_000,
    });
    await expect(ping()).rejects.toMatchObject(failure('unreachable'));
    const startedAt = performance.now();
    await expect(ping()).rejects.toMatchObject(failure('unreachable'));
    expect(performance.now() - startedAt).toBeLessThan(100);
  });

  it('is refused when it is named in no way, or in a wrong one', () => {
    const targets = [
      'http://x:secret@y',
      'redis://a,b',
      'redis://a/x',
      'redis://a:99999',
      'redis+sentinel://a,b',
      'redis+cluster://a/3',
      'redis://a?x=1',
    ];
    for (const target of targets) {
      expect(() => createCache({ target })).toThrow(
        expect.objectContaining({ code: 'bad-configuration' }),
      );
      expect(() => createCache({ target })).not.toThrow(/secret/);
    }
    expect(() => createCache({ target: 'redis://a', prefix: 'a{b}' })).toThrow(/prefix/);
  });
});

describe.skipIf(!hasRedis)(`Redis${withoutRedis}`, () => {
  it('killed and started again: calls are refused, PostgreSQL answers, and then Redis again', async () => {
    const { db } = await priceDatabase();
    const redis = await startRedis();
    const { prices, sessions } = open(redis);
    await prices.set([btc()]);
    await redis.kill();
    await expect(prices.get(['BTC'])).rejects.toMatchObject(failure('unreachable'));
    await expect(sessions.get('x'.repeat(43))).rejects.toMatchObject(failure('unreachable'));
    expect((await prices.readThrough(db, ['BTC'])).size).toBe(1);
    expect(prices.counters().bypasses).toBe(1);
    await redis.start();
    await until('the cache answers', () => prices.get(['BTC']).catch(() => false));
    await prices.readThrough(db, ['BTC']);
    expect((await prices.get(['BTC'])).size).toBe(1);
    expect(prices.counters().bypasses).toBe(1);
  });

  it('killed while many read: every reader gets a price, and no error ends the process', async () => {
    const { db } = await priceDatabase();
    const redis = await startRedis();
    const { prices } = open(redis);
    let isOver = false;
    const sizes: number[] = [];
    const readers = Array.from({ length: 20 }, async () => {
      while (!isOver) sizes.push((await prices.readThrough(db, ['BTC', 'ETH'])).size);
    });
    for (let round = 0; round < 3; round += 1) {
      const reads = sizes.length;
      await until('the readers read', async () => sizes.length > reads + 100);
      await redis.kill();
      const bypasses = prices.counters().bypasses;
      await until('PostgreSQL answers', async () => prices.counters().bypasses > bypasses);
      await redis.start();
    }
    isOver = true;
    await Promise.all(readers);
    expect(new Set(sizes)).toEqual(new Set([2]));
  });

  it('frozen: a command ends in time, later ones at once, and it is used again after', async () => {
    const { db } = await priceDatabase();
    const redis = await startRedis();
    onTestFinished(redis.thaw);
    const { prices } = open(redis);
    await prices.set([btc()]);
    redis.freeze();
    await expect(prices.get(['BTC'])).rejects.toMatchObject(failure('slow'));
    const startedAt = performance.now();
    await expect(prices.get(['BTC'])).rejects.toMatchObject(failure('slow'));
    expect(performance.now() - startedAt).toBeLessThan(90);
    expect((await prices.readThrough(db, ['BTC'])).size).toBe(1);
    redis.thaw();
    await until('the cache answers', () => prices.get(['BTC']).catch(() => false));
    expect((await prices.get(['BTC'])).get('BTC')?.priceUsd).toBe('1');
  });

  it('full: what is there is served, nothing is stored, and PostgreSQL answers for the rest', async () => {
    const { db } = await priceDatabase();
    const redis = await startRedis('--maxmemory-policy', 'noeviction');
    const { prices, sessions } = open(redis);
    await prices.set([btc()]);
    await redis.ask('CONFIG', 'SET', 'maxmemory', '1');
    expect((await prices.get(['BTC'])).size).toBe(1);
    await expect(prices.set([btc()])).rejects.toMatchObject(failure('full'));
    await expect(sessions.create(randomUUID(), {})).rejects.toMatchObject(failure('full'));
    expect((await prices.readThrough(db, ['BTC', 'ETH'])).size).toBe(2);
    expect(prices.counters()).toMatchObject({ hits: 1, bypasses: 1 });
    await redis.ask('CONFIG', 'SET', 'maxmemory', '0');
    await prices.readThrough(db, ['ETH']);
    expect((await prices.get(['ETH'])).size).toBe(1);
  });

  it('a replica: it serves what it has, and refuses to store', async () => {
    const { db } = await priceDatabase();
    const primary = await startRedis();
    const replica = await startRedis('--replicaof', '127.0.0.1', String(primary.port));
    const prefix = randomUUID();
    await open(primary, prefix).prices.set([btc()]);
    const { prices, sessions } = open(replica, prefix);
    await until('the replica has it', async () => (await prices.get(['BTC'])).size === 1);
    await expect(prices.set([btc()])).rejects.toMatchObject(failure('read-only'));
    await expect(sessions.create(randomUUID(), {})).rejects.toMatchObject(failure('read-only'));
    expect((await prices.readThrough(db, ['BTC', 'ETH'])).size).toBe(2);
  });

  it('with a password: a wrong one and none are refused, and the right one serves', async () => {
    const redis = await startRedis('--requirepass', 'right');
    const at = (login: string) => `redis://${login}127.0.0.1:${redis.port}`;
    for (const login of [':wrong@', '', 'ghost:right@']) {
      const error = await errorOf('cache-unavailable', open({ url: at(login) }).ping);
      expect(error).toMatchObject(failure('login-refused'));
      expect(error.message).not.toMatch(/wrong|right/);
    }
    await open({ url: at(':right@') }).ping();
    await open({ url: at('default:right@') }).ping();
  });

  it('without a right: the error says what is lacking', async () => {
    const redis = await startRedis();
    await redis.ask('ACL', 'SETUSER', 'reader', 'on', '>pw', '~*', '+@read', '+@connection');
    const { prices } = open({ url: `redis://reader:pw@127.0.0.1:${redis.port}` });
    expect((await prices.get(['BTC'])).size).toBe(0);
    await expect(prices.set([btc()])).rejects.toMatchObject(failure('not-permitted'));
  });

  it('closed: calls are refused, and a second close does nothing', async () => {
    const redis = await startRedis();
    const { close, ping } = open(redis);
    await ping();
    await close();
    await close();
    await expect(ping()).rejects.toMatchObject(failure('closed'));
  });

  it.skipIf(!hasOpenssl)(
    `over TLS: the certificate is checked${hasOpenssl ? '' : ' (skipped: no openssl here)'}`,
    async () => {
      const ca = makeCertificate('ca', { isCa: true });
      const { certificate, key } = makeCertificate('localhost', {
        issuer: ca,
        names: 'IP:127.0.0.1',
      });
      const port = await freePort();
      const files = [
        '--tls-cert-file',
        certificate,
        '--tls-key-file',
        key,
        '--tls-ca-cert-file',
        ca.certificate,
      ];
      await startRedis(
        '--port',
        '0',
        '--tls-port',
        String(port),
        '--tls-auth-clients',
        'no',
        ...files,
      );
      const target = `rediss://127.0.0.1:${port}`;
      const tls = { ca: readFileSync(ca.certificate, 'utf8') };
      const trusting = openTestCache({ target, retryAfterMs: 100, tls });
      await until('Redis answers over TLS', () =>
        trusting.ping().then(
          () => true,
          () => false,
        ),
      );
      const error = await errorOf('cache-unavailable', openTestCache({ target, ...quick }).ping);
      expect(error).toMatchObject(failure('unreachable'));
      expect(error.message).toMatch(/certificate/);
      const plain = openTestCache({ target: `redis://127.0.0.1:${port}`, ...quick });
      await expect(plain.ping()).rejects.toMatchObject(failure('unreachable'));
    },
  );
});
