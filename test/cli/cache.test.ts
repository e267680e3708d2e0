import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { callCli } from '../support/cli.ts';
import { priceDatabase } from '../support/prices.ts';
import { scratchDatabase } from '../support/recovery.ts';
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

/** What the packaged schema offers to `cache warm`, on a plain PostgreSQL. */
async function database(mark?: 'dev' | 'production') {
  const { sql, url } = await scratchDatabase();
  await sql.unsafe(`
    create table assets (symbol text, market_cap_rank int, is_active boolean default true);
    insert into assets values ('ETH', 2), ('BTC', 1), ('XRP', 3);
    create function latest_prices(symbols text[]) returns table (
      asset_symbol varchar(20), "time" timestamptz, price_usd numeric(20, 8),
      market_cap_usd numeric(20, 2), volume_24h_usd numeric(20, 2), data_source varchar(50)
    ) language sql stable as $$
      select s::varchar(20), now() - interval '50 seconds', 7.5::numeric(20, 8), null::numeric(20, 2),
          12.5::numeric(20, 2), 'test'::varchar(50) from unnest(symbols) s where s <> 'XRP'
    $$`);
  if (mark) expect(await callCli(['db', 'mark', mark, '--url', url])).toMatchObject({ code: 0 });
  return url;
}

describe.skipIf(!hasRedis)(`cryptosense-db cache${withoutRedis}`, () => {
  it('warm fills prices, status shows them, and clear removes them in a dev database', async () => {
    const url = await database('dev');
    const prefix = randomUUID();
    const env = { REDIS_URL: redis.url, DATABASE_URL: url };
    const run = (...args: readonly string[]) =>
      callCli(['cache', ...args, '--prefix', prefix], { env });
    const warmed = await run('warm', '--json');
    expect(JSON.parse(warmed.stdout)).toMatchObject({ found: 2, stored: 2 });
    const { prices, sessions } = openTestCache({ target: redis.url, prefix });
    expect([...(await prices.get(['BTC', 'ETH', 'XRP'])).keys()]).toEqual(['BTC', 'ETH']);
    expect((await run('warm', '--top', '1')).stdout).toMatch(/^1 price from .* in redis:\/\//);
    await sessions.create(randomUUID(), {});

    const { parts, hitRatio } = JSON.parse((await run('status', '--json')).stdout);
    expect(parts).toMatchObject([
      { part: 'sessions', keys: 2 },
      { part: 'prices', keys: 2 },
      { part: 'queues', keys: 0, memoryBytes: 0 },
    ]);
    expect(parts[1].memoryBytes).toBeGreaterThan(100);
    expect(parts[1].oldestMs).toBeLessThan(30_000);
    expect(hitRatio).toBeGreaterThan(0);
    expect((await run('status')).stdout).toMatch(/^sessions +2 +/m);

    expect((await run('clear', 'prices')).stdout).toMatch(/^2 keys of prices removed/);
    expect((await prices.get(['BTC'])).size).toBe(0);
    expect((await run('clear', 'sessions')).stdout).toMatch(/^2 keys of sessions removed/);
  });

  it('clear refuses beside a production database, unless its name is given', async () => {
    const url = await database('production');
    const prefix = randomUUID();
    const { sessions } = openTestCache({ target: redis.url, prefix });
    const id = await sessions.create(randomUUID(), {});
    const flags = ['--url', url, '--cache-url', redis.url, '--prefix', prefix];
    const refused = await callCli(['cache', 'clear', 'sessions', ...flags]);
    expect(refused).toMatchObject({ code: 2 });
    expect(refused.stderr).toContain('refuses to have the sessions of its cache cleared');
    expect(await sessions.get(id)).toBeDefined();
    const name = new URL(url).pathname.slice(1);
    const forced = await callCli(['cache', 'clear', 'sessions', ...flags, '--force', name]);
    expect(forced).toMatchObject({ code: 0 });
    expect(await sessions.get(id)).toBeUndefined();
  });

  it('check judges what is stored, and ends with 1 under --check', async () => {
    const flags = ['--cache-url', redis.url, '--json'];
    const all = await callCli(['cache', 'check', '--check', '--part', 'queues', ...flags]);
    expect(all.code).toBe(1);
    const { findings, isSound } = JSON.parse(all.stdout);
    const rules = findings.map(
      ({ rule, severity }: Record<string, string>) => `${rule} ${severity}`,
    );
    expect(rules).toEqual([
      'cache-persistence warning',
      'cache-memory warning',
      'cache-login note',
    ]);
    expect(isSound).toBe(false);
    const text = await callCli(['cache', 'check', '--cache-url', redis.url]);
    expect(text.stdout).toContain('config set maxmemory 1gb');
  });

  it('says in one error that the cache is not there, and without one that none is named', async () => {
    const gone = await callCli(['cache', 'status', '--cache-url', 'redis://:secret@127.0.0.1:1']);
    expect(gone).toMatchObject({ code: 2, stdout: '' });
    expect(gone.stderr).toMatch(
      /the cache redis:\/\/127\.0\.0\.1:1\/0 does not answer\n.*ECONNREFUSED/,
    );
    expect(gone.stderr).not.toContain('secret');
    const none = await callCli(['cache', 'check']);
    expect(none).toMatchObject({ code: 2 });
    expect(none.stderr).toContain('REDIS_URL');
  });

  it('works with the rights that docs/cache.md lists, and no others', async () => {
    const own = await startRedis();
    const page = readFileSync('docs/cache.md', 'utf8');
    const [, block = ''] = /```text\n(acl setuser api [\s\S]*?)```/.exec(page) ?? [];
    const lines = block.trim().replaceAll(/\n +/g, ' ').split('\n');
    expect(lines).toHaveLength(3);
    for (const line of lines) await own.ask(...line.replace('SECRET', 'pw').split(' '));
    const at = (user: string) => `redis://${user}:pw@127.0.0.1:${own.port}`;
    const { sessions, prices, ping } = openTestCache({ target: at('api') });
    await ping();
    const userId = randomUUID();
    const id = await sessions.create(userId, {});
    expect(await sessions.touch(id)).toBe(true);
    await sessions.destroyAllOf(userId);
    expect(await sessions.destroy(await sessions.create(userId, {}))).toBe(true);
    await prices.set([{ symbol: 'BTC', priceUsd: '1', time: new Date() }]);
    const { db } = await priceDatabase();
    expect((await prices.readThrough(db, ['BTC', 'ETH'])).size).toBe(2);
    expect(prices.counters()).toMatchObject({ bypasses: 0, unstored: 0 });

    const env = { REDIS_URL: at('tool'), DATABASE_URL: await database('dev') };
    for (const args of [['check'], ['warm'], ['status'], ['clear', 'prices']]) {
      const { code, stdout, stderr } = await callCli(['cache', ...args], { env });
      expect({ args, code, stderr }).toEqual({ args, code: 0, stderr: '' });
      expect(stdout).not.toContain('not seen');
    }
  });

  it('is judged by doctor where REDIS_URL names it, and not with an empty --cache-url', async () => {
    const url = await database();
    const args = ['doctor', '--url', url, '--only', 'cache-unreachable,cache-version', '--json'];
    const rulesOf = async (env: Readonly<Record<string, string>>, ...more: readonly string[]) => {
      const { stdout } = await callCli([...args, ...more], { env });
      const { findings, sound, notApplicable } = JSON.parse(stdout);
      return [findings.length, sound, notApplicable];
    };
    const rules = ['cache-unreachable', 'cache-version'];
    expect(await rulesOf({ REDIS_URL: redis.url })).toEqual([0, rules, []]);
    expect(await rulesOf({ REDIS_URL: redis.url }, '--cache-url', '')).toEqual([0, [], rules]);
    expect(await rulesOf({})).toEqual([0, [], rules]);
    expect(await rulesOf({ REDIS_URL: 'redis://127.0.0.1:1' })).toEqual([1, [], []]);
  });
});
