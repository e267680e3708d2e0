import { Chalk } from 'chalk';
import { afterAll, describe, expect, it } from 'vitest';
import * as seeding from '../../src/seeding/seed.ts';
import { renderDevSeed } from '../../src/ui/seeding.ts';
import { errorOf } from '../support/errors.ts';
import { hasRedis, openTestCache, startRedis, stopRedis, withoutRedis } from '../support/redis.ts';
import { migratedDatabase } from '../support/seeding.ts';

afterAll(stopRedis);

describe.skipIf(!hasRedis)(`seed --env dev with a cache${withoutRedis}`, () => {
  it('stores the latest prices and one session for each user, and says so', async () => {
    const { url: target, withSql } = await migratedDatabase();
    const redis = await startRedis();
    const { prices, sessions } = openTestCache({ target: redis.url });
    const gone = { target, cache: 'redis://127.0.0.1:1' };
    await errorOf('cache-unavailable', () => seeding.dev(gone));
    expect(await withSql((sql) => sql`select from users`)).toHaveLength(0);

    const dry = await seeding.dev({ target, cache: redis.url, dryRun: true });
    expect(dry.cache).toBeUndefined();
    expect(await redis.ask('DBSIZE')).toBe(0);

    const first = await seeding.dev({ target, cache: redis.url });
    const second = await seeding.dev({ target, cache: redis.url });
    expect(second.cache?.sessions).toHaveLength(3);
    const [session] = second.cache?.sessions ?? [];
    expect(await sessions.get(session?.id ?? '')).toMatchObject({ userId: session?.userId });
    expect(await sessions.get(first.cache?.sessions[0]?.id ?? '')).toBeUndefined();

    const [row] = await withSql(
      (sql) => sql`select price_usd::text as price from latest_prices(array['BTC'])`,
    );
    expect((await prices.get(['BTC'])).get('BTC')?.priceUsd).toBe(row?.price);
    expect(second.cache?.prices).toBeGreaterThan(1);
    expect(renderDevSeed(second, { chalk: new Chalk({ level: 0 }), columns: undefined })).toContain(
      `${second.cache?.prices} prices and 3 sessions in redis://127.0.0.1:${redis.port}/0`,
    );
  });
});
