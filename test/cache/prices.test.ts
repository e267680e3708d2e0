import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { priceDatabase } from '../support/prices.ts';
import {
  hasRedis,
  openTestCache,
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

const open = (prefix = randomUUID()) => openTestCache({ target: redis.url, prefix });
const ago = (ms: number) => new Date(Date.now() - ms);
const keyOf = (prefix: string, symbol: string) => `${prefix}:v1:{prices}:price:${symbol}`;

describe.skipIf(!hasRedis)(`prices${withoutRedis}`, () => {
  it('come back as they were set, and those that are not there are left out', async () => {
    const { prices } = open();
    const btc = { symbol: 'BTC', priceUsd: '43012.50000001', time: ago(1_000) };
    const eth = {
      symbol: 'ETH',
      priceUsd: '2280.1',
      time: ago(500),
      marketCapUsd: '1',
      dataSource: 'binance',
    };
    expect(await prices.set([btc, eth])).toBe(2);
    const found = await prices.get(['ETH', 'XRP', 'BTC', 'ETH']);
    expect([...found.keys()]).toEqual(['ETH', 'BTC']);
    expect(found.get('BTC')).toEqual({
      ...btc,
      ...{ marketCapUsd: null, volume24hUsd: null, dataSource: null, asOf: btc.time },
    });
    expect(found.get('ETH')).toMatchObject(eth);
    expect(await prices.get([])).toEqual(new Map());
  });

  it('live until 30 seconds after their moment, by the clock of the server', async () => {
    const prefix = randomUUID();
    const { prices } = open(prefix);
    await prices.set([
      { symbol: 'NEW', priceUsd: '1', time: ago(0) },
      { symbol: 'OLD', priceUsd: '1', time: ago(20_000) },
      { symbol: 'FUTURE', priceUsd: '1', time: ago(-600_000) },
    ]);
    const lifeOf = async (symbol: string) => Number(await redis.ask('PTTL', keyOf(prefix, symbol)));
    for (const symbol of ['NEW', 'FUTURE']) {
      expect(await lifeOf(symbol)).toBeGreaterThan(28_000);
      expect(await lifeOf(symbol)).toBeLessThanOrEqual(30_000);
    }
    expect(await lifeOf('OLD')).toBeLessThanOrEqual(10_000);
    expect((await prices.get(['FUTURE'])).get('FUTURE')?.asOf.getTime()).toBeLessThanOrEqual(
      Date.now(),
    );
  });

  it('of a slow writer are not stored once their time is over', async () => {
    const { prices } = open();
    expect(await prices.set([{ symbol: 'BTC', priceUsd: '1', time: ago(30_001) }])).toBe(0);
    expect((await prices.get(['BTC'])).size).toBe(0);
  });

  it('are not replaced by older ones', async () => {
    const { prices } = open();
    await prices.set([{ symbol: 'BTC', priceUsd: '2', time: ago(1_000) }]);
    expect(await prices.set([{ symbol: 'BTC', priceUsd: '1', time: ago(5_000) }])).toBe(0);
    expect(await prices.set([{ symbol: 'BTC', priceUsd: '3', time: ago(0) }])).toBe(1);
    expect((await prices.get(['BTC'])).get('BTC')?.priceUsd).toBe('3');
  });

  it('end while they are there: none is served after its time', async () => {
    const { prices } = open();
    await prices.set([{ symbol: 'BTC', priceUsd: '1', time: ago(29_000) }]);
    const seen: number[] = [];
    for (;;) {
      const found = (await prices.get(['BTC'])).get('BTC');
      if (found === undefined) break;
      seen.push(Date.now() - found.asOf.getTime());
    }
    expect(seen.length).toBeGreaterThan(10);
    expect(Math.max(...seen)).toBeLessThan(30_050);
  });

  it('refuses what is no price, each with its fault', async () => {
    const { prices } = open();
    const time = new Date();
    const wrong = [
      { symbol: 'B{T}C', priceUsd: '1', time },
      { symbol: 'ETH', priceUsd: '1e9', time },
      { symbol: 'XRP', priceUsd: '1', time: new Date(Number.NaN) },
    ];
    await expect(prices.set(wrong)).rejects.toMatchObject({
      code: 'bad-configuration',
      problems: { length: 3 },
    });
    await expect(prices.get(['a b'])).rejects.toMatchObject({ code: 'bad-configuration' });
  });

  it('that another program wrote in another form count as missing', async () => {
    const prefix = randomUUID();
    const { prices } = open(prefix);
    for (const text of ['43012.5', '{"price_usd":43012.5}', '[]', '"x"']) {
      await redis.ask('SET', keyOf(prefix, 'BTC'), text);
      expect((await prices.get(['BTC'])).size).toBe(0);
    }
    expect(await prices.set([{ symbol: 'BTC', priceUsd: '1', time: ago(0) }])).toBe(1);
  });
});

describe.skipIf(!hasRedis)(`prices.readThrough${withoutRedis}`, () => {
  it('asks PostgreSQL once for 1,000 concurrent readers of one cold price', async () => {
    const { db, countQueries, slowDown } = await priceDatabase();
    await slowDown(0.2);
    const { prices } = open();
    const answers = await Promise.all(
      Array.from({ length: 1_000 }, () => prices.readThrough(db, ['BTC'])),
    );
    expect(new Set(answers.map((found) => found.get('BTC')?.priceUsd))).toEqual(
      new Set(['43012.50000000']),
    );
    expect(await countQueries()).toBe(1);
    expect(prices.counters()).toEqual({
      ...{ hits: 0, misses: 1_000, joined: 999, queries: 1, bypasses: 0, unstored: 0 },
    });
  });

  it('asks once for readers in many processes', async () => {
    const { db, countQueries, slowDown } = await priceDatabase();
    await slowDown(0.3);
    const prefix = randomUUID();
    const caches = Array.from({ length: 20 }, () => open(prefix));
    const answers = await Promise.all(
      caches.flatMap(({ prices }) =>
        Array.from({ length: 10 }, () => prices.readThrough(db, ['BTC', 'ETH'])),
      ),
    );
    expect(answers.every((found) => found.size === 2)).toBe(true);
    expect(await countQueries()).toBe(1);
  });

  it('loads in one query what Redis lacks, and only that', async () => {
    const { db, countQueries } = await priceDatabase();
    const { prices } = open();
    await prices.set([{ symbol: 'BTC', priceUsd: '50000', time: ago(0) }]);
    const found = await prices.readThrough(db, ['BTC', 'ETH']);
    expect([...found.values()].map(({ priceUsd }) => priceUsd)).toEqual(['50000', '2280.25000000']);
    const again = await prices.readThrough(db, ['ETH', 'BTC']);
    expect([...again.keys()]).toEqual(['ETH', 'BTC']);
    expect(again.get('ETH')).toEqual(found.get('ETH'));
    expect(await countQueries()).toBe(1);
    expect(await prices.readThrough(db, [])).toEqual(new Map());
  });

  it('remembers that PostgreSQL has no price, until a writer stores one', async () => {
    const { db, countQueries } = await priceDatabase();
    const { prices } = open();
    expect((await prices.readThrough(db, ['NONE'])).size).toBe(0);
    expect((await prices.readThrough(db, ['NONE'])).size).toBe(0);
    expect(await countQueries()).toBe(1);
    await prices.set([{ symbol: 'NONE', priceUsd: '7', time: ago(5_000) }]);
    expect((await prices.readThrough(db, ['NONE'])).get('NONE')?.priceUsd).toBe('7');
    expect(await countQueries()).toBe(1);
  });

  it('replaces at once what another program wrote in another form', async () => {
    const { db, countQueries } = await priceDatabase();
    const prefix = randomUUID();
    const { prices } = open(prefix);
    await redis.ask('SET', keyOf(prefix, 'BTC'), '43012.5');
    const startedAt = performance.now();
    await prices.readThrough(db, ['BTC']);
    expect(performance.now() - startedAt).toBeLessThan(1_500);
    expect((await prices.get(['BTC'])).size).toBe(1);
    expect(await countQueries()).toBe(1);
  });

  it('gives a loaded price 30 seconds from the start of the query on', async () => {
    const { db, slowDown } = await priceDatabase();
    await slowDown(1);
    const prefix = randomUUID();
    const { prices } = open(prefix);
    await prices.readThrough(db, ['BTC']);
    expect(Number(await redis.ask('PTTL', keyOf(prefix, 'BTC')))).toBeLessThanOrEqual(29_000);
  });

  it('asks PostgreSQL itself when the process that asks has died', async () => {
    const { db, countQueries } = await priceDatabase();
    const prefix = randomUUID();
    const { prices } = open(prefix);
    await redis.ask('SET', `${prefix}:v1:{prices}:lock:BTC`, 'of a dead process', 'PX', '600000');
    const startedAt = performance.now();
    expect((await prices.readThrough(db, ['BTC'])).size).toBe(1);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    expect(await countQueries()).toBe(1);
    // The lock of another process is not removed.
    expect(await redis.ask('GET', `${prefix}:v1:{prices}:lock:BTC`)).toBe('of a dead process');
  });

  it('gives every reader the error of the query, and the next reader a new query', async () => {
    const { db } = await priceDatabase();
    const { prices } = open();
    await sql`alter table known rename to away`.execute(db);
    const both = await Promise.allSettled([1, 2].map(() => prices.readThrough(db, ['BTC'])));
    for (const each of both) expect(each).toMatchObject({ reason: { code: '42P01' } });
    await sql`alter table away rename to known`.execute(db);
    expect((await prices.readThrough(db, ['BTC'])).get('BTC')?.priceUsd).toBe('43012.50000000');
  });

  it('refuses a transaction, whose reads others would share', async () => {
    const { db } = await priceDatabase();
    const { prices } = open();
    const reading = db.transaction().execute((trx) => prices.readThrough(trx, ['BTC']));
    await expect(reading).rejects.toMatchObject({ code: 'bad-configuration' });
  });
});
