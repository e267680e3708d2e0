import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { importPrices } from '../../src/prices/import.ts';
import type { ImportOptions } from '../../src/prices/request.ts';
import { show } from '../../src/prices/show.ts';
import { status } from '../../src/prices/status.ts';
import type { ProgressEvent } from '../../src/runtime/progress.ts';
import { klinesOf, startBinance } from '../support/binance.ts';
import { temporaryFolder } from '../support/fixtures.ts';
import { chartPrice, startCharts } from '../support/market-charts.ts';
import { createMigratedDatabase, type TimescaleDatabase } from '../support/schema-database.ts';
import { zipOf } from '../support/zip.ts';

const dayMs = 86_400_000;
const today = Math.floor(Date.now() / dayMs) * dayMs;
let database: TimescaleDatabase;

beforeAll(async () => {
  database = await createMigratedDatabase();
  await database.withSql(
    (sql) => sql`
      insert into assets (coingecko_id, symbol, name, market_cap_rank) values
        ('bitcoin', 'btc', 'Bitcoin', 1), ('ethereum', 'eth', 'Ethereum', 2), ('solana', 'sol', 'Solana', 3),
        ('batcat', 'btc', 'BatCat', 900), ('unlisted', 'uli', 'Unlisted', 901)`,
  );
});
afterAll(() => database?.drop());

beforeEach(() =>
  database.withSql(async (sql) => {
    await sql`truncate price_history`;
    await sql.unsafe(`call refresh_continuous_aggregate('price_history_daily', null, null)`);
    await sql.unsafe(`
      do $$ begin
        if to_regclass('cryptosense_db.price_upkeep') is not null then
          truncate cryptosense_db.price_imports, cryptosense_db.price_assets, cryptosense_db.price_files, cryptosense_db.price_upkeep;
        end if;
      end $$`);
  }),
);

const ask = (query: string) => database.withSql(async (sql) => [...(await sql.unsafe(query))]);
const load = (options: Partial<ImportOptions>) =>
  importPrices({ target: database.url, retryDelayMs: 1, plan: 'pro', apiKey: 'key', ...options });

/** Days on which the candles differ from the prices, computed without the continuous aggregate. */
const wrongCandles = () =>
  ask(`
    with plain as (
      select asset_symbol, date_trunc('day', time, 'UTC') as day, first(price_usd, time) as open, max(price_usd) as high,
        min(price_usd) as low, last(price_usd, time) as close, sum(volume_24h_usd) as total_volume
      from price_history group by 1, 2
    )
    select coalesce(plain.day, shown.day) as day from plain
    full join price_history_daily shown on shown.day = plain.day and shown.asset_symbol = plain.asset_symbol
    where (plain.open, plain.high, plain.low, plain.close, plain.total_volume) is distinct from
      (shown.open, shown.high, shown.low, shown.close, shown.total_volume)`);

const runPolicy = () =>
  ask(`
    do $$ declare job integer; begin
      select job_id into job from timescaledb_information.jobs where proc_name = 'policy_refresh_continuous_aggregate';
      call run_job(job);
    end $$`);

it.each<[Partial<ImportOptions>, string]>([
  [{ source: 'binance', quote: 'EUR' }, 'EUR is not a dollar'],
  [{ source: 'binance', pairs: { BTC: 'BTCEUR' } }, 'BTCEUR is not a pair in dollars'],
  [{ source: 'binance', coins: ['ETH'], pairs: { ETHH: 'ETHUSDT' } }, 'a pair is named for ETHH'],
  [{ pairs: { BTC: 'BTCUSDT' } }, 'coingecko has no pairs'],
  [{ quote: 'USDC' }, 'coingecko has no pairs'],
  [{ source: 'nope' as 'binance' }, 'nope is not a source of prices'],
  [{ interval: 'weekly' as 'daily' }, 'weekly is not an interval'],
  [{ from: new Date('x') }, 'from or to is not a date'],
  [{ source: 'files', files: '.', top: 3 }, 'files have their own'],
  [{ source: 'files', files: '.', baseUrl: 'http://mirror' }, 'files are read from the disk'],
  [{ baseUrl: 'nonsense' }, 'the base URL is not'],
  [{ source: 'binance', baseUrl: 'http://user:pw@mirror' }, 'without user and password'],
  [{ apiKey: undefined }, 'needs its key'],
  [{ from: new Date('2099-01-01') }, 'is not before the last one'],
  [{ days: 30, to: new Date('2026-01-01') }, 'is not before the last one'],
])('an import is refused with the options %j', async (options, message) => {
  await expect(load(options)).rejects.toMatchObject({
    code: 'bad-configuration',
    message: expect.stringContaining(message),
  });
});

describe('an import from CoinGecko', () => {
  it('fills daily prices, market capitalization and volume, and their candles', async () => {
    const server = await startCharts();
    const result = await load({ baseUrl: server.baseUrl, coins: ['BTCC'], days: 400 }).catch(
      (error) => error,
    );
    expect(result).toMatchObject({ code: 'unknown-asset' });
    const done = await load({ baseUrl: server.baseUrl, coins: ['eth', 'solana'], days: 400 });
    expect(done).toMatchObject({ rows: 802, source: 'coingecko', requests: 2, misfits: [] });
    const [row] = await ask(
      `select price_usd::float8 as price, market_cap_usd::float8 as cap, volume_24h_usd::float8 as volume, data_source
       from price_history where asset_symbol = 'ETH' and time = to_timestamp(${(today - 100 * dayMs) / 1_000})`,
    );
    const price = chartPrice('ethereum', today - 100 * dayMs);
    expect(row).toEqual({
      price,
      cap: price * 1_000,
      volume: price * 1_000,
      data_source: 'coingecko',
    });
    expect(await wrongCandles()).toEqual([]);
  });

  it('requests nothing when nothing is missing, and only the new days later', async () => {
    const server = await startCharts();
    const options = { baseUrl: server.baseUrl, coins: ['ETH'], days: 120 };
    await load({ ...options, to: new Date(today - 3 * dayMs) });
    server.asked.length = 0;
    expect(await load({ ...options, to: new Date(today - 3 * dayMs) })).toMatchObject({
      rows: 0,
      assets: [],
    });
    expect(server.asked).toEqual([]);
    expect(await load(options)).toMatchObject({ rows: 4 });
    expect(server.asked).toHaveLength(1);
    expect(server.asked[0]?.from).toBe(today - 3 * dayMs);
  });

  it('does not ask again for days that the source does not have', async () => {
    const server = await startCharts({ listed: today - 200 * dayMs });
    const options = { baseUrl: server.baseUrl, coins: ['ETH'], days: 400 };
    expect(await load(options)).toMatchObject({ rows: 201 });
    expect(await load(options)).toMatchObject({ rows: 0, requests: 0 });
  });

  it('asks again for an hour that was not published yet', async () => {
    const options = { coins: ['ETH'], days: 1, interval: 'hourly' } as const;
    const hour = Math.floor(Date.now() / 3_600_000) * 3_600_000;
    const late = await startCharts({ now: hour - 1 });
    await load({ ...options, baseUrl: late.baseUrl });
    const server = await startCharts();
    expect((await load({ ...options, baseUrl: server.baseUrl })).rows).toBeGreaterThan(0);
    expect(server.asked).toHaveLength(1);
    expect(server.asked[0]?.from).toBe(hour);
    expect(Number.isInteger((server.asked[0]?.to ?? 0.5) / 1_000)).toBe(true);
  });

  it('does not ask again for days that the source does not have, in a part of the range', async () => {
    const server = await startCharts({ listed: today - 60 * dayMs });
    const options = { baseUrl: server.baseUrl, coins: ['ETH'] };
    const from = (days: number) => new Date(today - days * dayMs);
    expect(await load({ ...options, from: from(90) })).toMatchObject({ rows: 61 });
    await load({ ...options, from: from(70), to: from(50) });
    server.asked.length = 0;
    for (const [first, last] of [
      [90, 0],
      [80, 50],
      [62, 58],
    ] as const) {
      await load({ ...options, from: from(first), to: from(last) });
    }
    expect(server.asked).toEqual([]);
  });

  it('asks again for days whose rows were deleted', async () => {
    const server = await startCharts();
    const options = { baseUrl: server.baseUrl, coins: ['ETH'], days: 200 };
    await load(options);
    await ask(`delete from price_history where time < now() - interval '150 days'`);
    expect(await load(options)).toMatchObject({ rows: 51 });
    expect(await wrongCandles()).toEqual([]);
  });

  it('splits hourly prices into ranges of 90 days, one price an hour', async () => {
    const server = await startCharts();
    const result = await load({
      baseUrl: server.baseUrl,
      coins: ['ETH'],
      days: 200,
      interval: 'hourly',
    });
    expect(server.asked).toHaveLength(3);
    expect(result.rows).toBeGreaterThanOrEqual(200 * 24);
    const [{ odd }] = (await ask(
      `select count(*)::int as odd from price_history where date_trunc('hour', time) <> time`,
    )) as unknown as [{ odd: number }];
    expect(odd).toBe(0);
  });

  it('says before the first request what the Demo plan cannot give', async () => {
    const server = await startCharts();
    const done = load({
      baseUrl: server.baseUrl,
      coins: ['ETH'],
      days: 1825,
      plan: 'demo',
      apiKey: undefined,
    });
    await expect(done).rejects.toMatchObject({
      code: 'bad-configuration',
      problems: [{ hint: expect.stringContaining('--days 365') }],
    });
    expect(server.asked).toEqual([]);
    expect(
      await load({
        baseUrl: server.baseUrl,
        coins: ['ETH'],
        days: 365,
        plan: 'demo',
        apiKey: undefined,
      }),
    ).toMatchObject({ rows: 365 });
    // No moment that is older than 365 days.
    expect(server.asked[0]?.from).toBe(today - 364 * dayMs);
  });

  it('refuses a symbol of several assets with their ids, and takes an id', async () => {
    const server = await startCharts();
    await expect(load({ baseUrl: server.baseUrl, coins: ['BTC'], days: 10 })).rejects.toMatchObject(
      {
        code: 'unknown-asset',
        problems: [{ evidence: ['bitcoin (Bitcoin)', 'batcat (BatCat)'] }],
      },
    );
    expect(await load({ baseUrl: server.baseUrl, coins: ['bitcoin'], days: 10 })).toMatchObject({
      rows: 11,
    });
    const largest = await load({ baseUrl: server.baseUrl, days: 10 });
    expect(largest.leftOut.map(({ id }) => id)).toEqual(['batcat']);
  });

  it('leaves out and names what Binance has no known pair of, unless it is named', async () => {
    const options = { source: 'binance', dryRun: true, days: 10 } as const;
    const plan = await load(options);
    expect(plan.assets.map(({ symbol }) => symbol)).toEqual(['BTC', 'ETH', 'SOL']);
    expect(plan.unknownToSource.map(({ id }) => id)).toEqual(['unlisted']);
    await expect(load({ ...options, coins: ['ULI'] })).rejects.toMatchObject({
      code: 'bad-configuration',
    });
  });

  it('leaves out and names what the retention policy would drop', async () => {
    const server = await startCharts();
    const result = await load({
      baseUrl: server.baseUrl,
      coins: ['ETH'],
      from: new Date('2015-01-01T00:00Z'),
      dryRun: true,
    });
    const months = result.assets[0]?.months ?? [];
    expect(months.length).toBeGreaterThan(59);
    expect(months.reduce((sum, { missing }) => sum + missing, 0)).toBe(result.assets[0]?.missing);
    expect(result.beyondRetention?.from).toEqual(new Date('2015-01-01T00:00Z'));
    expect(result.range?.from.getTime()).toBeGreaterThan(today - 5 * 366 * dayMs);
    expect(result.assets[0]?.missing).toBeLessThan(5 * 366);
  });

  it('keeps rows that are there, and replaces those of its source with --overwrite', async () => {
    const server = await startCharts();
    const moment = `to_timestamp(${(today - 5 * dayMs) / 1_000})`;
    await ask(`insert into price_history (time, asset_symbol, price_usd, data_source)
      values (${moment}, 'ETH', 1, 'binance'), (${moment} - interval '1 day', 'ETH', 2, 'coingecko')`);
    const options = { baseUrl: server.baseUrl, coins: ['ETH'], days: 120 };
    await load(options);
    const kept = `select price_usd::float8 as price from price_history where asset_symbol = 'ETH'
      and time in (${moment}, ${moment} - interval '1 day') order by time`;
    expect(await ask(kept)).toEqual([{ price: 2 }, { price: 1 }]);
    await load({ ...options, overwrite: true });
    expect(await ask(kept)).toEqual([
      { price: chartPrice('ethereum', today - 6 * dayMs) },
      { price: 1 },
    ]);
    expect(await wrongCandles()).toEqual([]);
  });

  it.each(['hourly', 'daily'] as const)(
    'adds no second price to an hour or a day: %s, beside a live feed',
    async (interval) => {
      const server = await startCharts();
      const step = interval === 'hourly' ? '1 hour' : '1 day';
      const gap = interval === 'hourly' ? 'in (3, 40)' : 'in (3, 17)';
      await ask(`insert into price_history (time, asset_symbol, price_usd, data_source)
        select time + interval '7 minutes', 'ETH', 5, 'coingecko'
        from generate_series(to_timestamp(${(today - 20 * dayMs) / 1_000}), now() - interval '8 minutes', '${step}')
          with ordinality as live (time, number)
        where number not ${gap}`);
      const to = new Date(today);
      const options = {
        baseUrl: server.baseUrl,
        coins: ['ETH'],
        interval,
        from: new Date(today - 20 * dayMs),
        to,
      };
      expect(await load({ ...options, dryRun: true })).toMatchObject({ assets: [{ missing: 2 }] });
      expect(await load(options)).toMatchObject({ rows: 2 });
      expect(await load({ ...options, overwrite: true })).toMatchObject({ rows: 2 });
      const doubled = `select from price_history group by time_bucket('${step}', time) having count(*) > 1`;
      expect(await ask(doubled)).toEqual([]);
    },
  );

  it('refuses to guess the largest assets where the table has too few ranks', async () => {
    await ask('update assets set market_cap_rank = null');
    const run = load({ top: 2, dryRun: true });
    await expect(run).rejects.toMatchObject({
      code: 'unknown-asset',
      message: expect.stringContaining('the 2 largest assets are not known'),
    });
    await ask(`update assets set market_cap_rank = ranks.rank from (values
      ('bitcoin', 1), ('ethereum', 2), ('solana', 3), ('batcat', 900), ('unlisted', 901)) as ranks (id, rank)
      where coingecko_id = ranks.id`);
  });

  it('records a month as one range when a request ends within it', async () => {
    const server = await startCharts();
    const options = { baseUrl: server.baseUrl, coins: ['ETH'], interval: 'hourly' } as const;
    await load({ ...options, days: 200 });
    const parts = await ask(
      `select date_trunc('month', range_from, 'UTC') from cryptosense_db.price_imports group by 1 having count(*) > 1`,
    );
    expect(parts).toEqual([]);
    expect(await status({ target: database.url })).toMatchObject({ isComplete: true });
  });

  it('goes on after an error where it stopped', async () => {
    const server = await startCharts();
    server.onAsked = (count) => (count > 1 ? 403 : undefined);
    const options = { baseUrl: server.baseUrl, coins: ['ETH', 'SOL'], days: 100 };
    await expect(load(options)).rejects.toMatchObject({ code: 'coingecko-failed' });
    expect((await status({ target: database.url })).assets).toMatchObject([
      { symbol: 'ETH', candlesMissing: 0 },
    ]);
    server.onAsked = () => undefined;
    expect(await load(options)).toMatchObject({ rows: 101 });
    expect(server.asked.map(({ id }) => id)).toEqual(['ethereum', 'solana', 'solana']);
    expect((await status({ target: database.url })).owed).toBeUndefined();
    expect(await wrongCandles()).toEqual([]);
  });

  it('goes on after an asset that CoinGecko does not have, and names it at the end', async () => {
    const server = await startCharts();
    server.onAsked = (_, id) => (id === 'ethereum' ? 404 : undefined);
    const options = {
      baseUrl: server.baseUrl,
      coins: ['ETH', 'SOL'],
      days: 200,
      interval: 'hourly',
    } as const;
    const events: ProgressEvent[] = [];
    const done = load({ ...options, onProgress: (event) => events.push(event) });
    await expect(done).rejects.toMatchObject({
      code: 'no-prices',
      details: { source: 'coingecko', symbols: ['ETH'] },
      problems: [
        {
          message: 'CoinGecko has no asset with the id ethereum: ETH (Ethereum)',
          hint: expect.stringContaining(`where coingecko_id = 'ethereum'`),
        },
      ],
    });
    expect(server.asked.map(({ id }) => id)).toEqual(['ethereum', 'solana', 'solana', 'solana']);
    const left = events.flatMap((event) =>
      event.kind === 'prices-written' ? event.requestsLeft : [],
    );
    expect(left).toEqual([2, 1, 0]);
    expect(await wrongCandles()).toEqual([]);
    expect((await status({ target: database.url })).owed).toBeUndefined();
  });

  it.each([401, 403, 500])('stops at HTTP %i, which concerns all assets', async (code) => {
    const server = await startCharts();
    server.onAsked = () => code;
    const done = load({ baseUrl: server.baseUrl, coins: ['ETH', 'SOL'], days: 100 });
    await expect(done).rejects.toMatchObject({ code: 'coingecko-failed' });
    expect(new Set(server.asked.map(({ id }) => id))).toEqual(new Set(['ethereum']));
  });

  it('plans without a request or a change in a dry run', async () => {
    const server = await startCharts();
    const result = await load({ baseUrl: server.baseUrl, coins: ['ETH'], days: 100, dryRun: true });
    expect(result).toMatchObject({
      isDryRun: true,
      rows: 0,
      requests: 1,
      assets: [{ symbol: 'ETH', missing: 101 }],
    });
    expect(server.asked).toEqual([]);
    expect(await ask('select from price_history')).toEqual([]);
  });
});

describe('an import from Binance', () => {
  const dayOf = (back: number) => new Date(today - back * dayMs).toISOString();
  const dump = (back: number) => ({
    [`ETHUSDT-1h-${dayOf(back).slice(0, 10)}`]: klinesOf(dayOf(back), dayOf(back - 1)),
  });

  it('asks again for a day whose dump was not published yet', async () => {
    const dumps = { ...dump(4), ...dump(3) };
    const server = await startBinance(dumps);
    const options = {
      baseUrl: server.baseUrl,
      source: 'binance',
      coins: ['ETH'],
      interval: 'hourly',
      from: new Date(today - 3 * dayMs),
    } as const;
    expect(await load({ ...options, to: new Date(today - 1.5 * dayMs) })).toMatchObject({
      rows: 24,
    });
    Object.assign(dumps, dump(2));
    expect(await load(options)).toMatchObject({ rows: 24, assets: [{ missing: 48 }] });
    Object.assign(dumps, dump(1));
    expect(await load(options)).toMatchObject({ rows: 24, assets: [{ missing: 24 }] });
    server.asked.length = 0;
    expect(await load(options)).toMatchObject({ rows: 0, assets: [] });
    expect(server.asked).toEqual([]);
  });
});

describe('an asset without a price in the whole range', () => {
  const month = '2026-03';
  const next = '2026-04';
  const dumps = {
    [`ETHUSDT-1d-${next}`]: klinesOf(`${next}-01T00:00Z`, '2026-05-01T00:00Z'),
    [`SOLUSDT-1d-${month}`]: klinesOf(`${month}-01T00:00Z`, `${next}-01T00:00Z`),
  };
  const from = (start: string, end: string) =>
    ({ source: 'binance', from: new Date(start), to: new Date(end) }) as const;

  it('is an error with its address after the other assets are written, and is asked for again', async () => {
    const { baseUrl } = await startBinance(dumps);
    const options = { ...from(`${month}-01`, `${next}-01`), baseUrl, coins: ['ETH', 'SOL'] };
    const done = load(options);
    await expect(done).rejects.toMatchObject({
      code: 'no-prices',
      details: { source: 'binance', symbols: ['ETH'] },
      problems: [{ evidence: [expect.stringContaining(`/ETHUSDT/1d/ETHUSDT-1d-${month}.zip`)] }],
    });
    expect((await status({ target: database.url })).owed).toBeUndefined();
    const right = await startBinance({
      ...dumps,
      [`ETHUSDT-1d-${month}`]: klinesOf(`${month}-01T00:00Z`, `${next}-01T00:00Z`),
    });
    expect(await load({ ...options, baseUrl: right.baseUrl })).toMatchObject({
      rows: 31,
      assets: [{ symbol: 'ETH' }],
    });
  });

  it('is one before its listing, when the source gives what the database has of it', async () => {
    const server = await startBinance(dumps);
    const options = {
      ...from(`${month}-01`, `${next}-01`),
      baseUrl: server.baseUrl,
      coins: ['ETH'],
    };
    await load({ ...options, ...from(`${next}-01`, '2026-05-01') });
    // A wrong pair has nothing of it either.
    await expect(load({ ...options, pairs: { ETH: 'NOPEUSDT' } })).rejects.toMatchObject({
      code: 'no-prices',
    });
    expect(await load(options)).toMatchObject({ rows: 0, assets: [{ symbol: 'ETH' }] });
    server.asked.length = 0;
    expect(await load(options)).toMatchObject({ rows: 0, assets: [] });
    expect(server.asked).toEqual([]);
  });

  it('leaves months before the listing recorded when a later month has prices', async () => {
    const { baseUrl } = await startBinance(dumps);
    const options = { ...from('2026-02-01', '2026-05-01'), baseUrl, coins: ['ETH'] };
    expect(await load(options)).toMatchObject({ rows: 30 });
    expect(await load(options)).toMatchObject({ assets: [] });
  });
});

describe('assets that share a symbol', () => {
  const from = new Date('2026-03-01');
  const range = { from, to: new Date('2026-04-01') };
  const taken = {
    code: 'unknown-asset',
    message: expect.stringContaining(
      'has prices of bitcoin as BTC, and cannot tell those of batcat',
    ),
    problems: [{ hint: expect.stringContaining(`where asset_symbol = 'BTC'`) }],
  };
  const csv = (word: string) => {
    const file = join(temporaryFolder(), 'a.csv');
    writeFileSync(file, `time,asset_symbol,price_usd\n2026-03-02T01:00Z,${word},1\n`);
    return { source: 'files', files: file } as const;
  };

  it('are not mixed: the one that has rows keeps the symbol', async () => {
    const { baseUrl, asked } = await startCharts();
    await load({ ...range, baseUrl, coins: ['bitcoin'] });
    asked.length = 0;
    await expect(load({ ...range, baseUrl, coins: ['batcat'] })).rejects.toMatchObject(taken);
    await expect(load({ ...csv('btc'), coins: ['batcat'] })).rejects.toMatchObject(taken);
    await expect(load(csv('batcat'))).rejects.toMatchObject(taken);
    expect(asked).toEqual([]);
    expect(await load({ ...csv('btc'), coins: ['bitcoin'] })).toMatchObject({ rows: 1 });
  });

  it('are not mixed by a file, nor by the ranks of the largest assets', async () => {
    await load(csv('batcat'));
    const { baseUrl } = await startCharts();
    const largest = await load({ ...range, baseUrl, dryRun: true });
    expect(largest.leftOut.map(({ id }) => id)).toEqual(['bitcoin']);
    expect(largest.assets.map(({ id }) => id)).toContain('batcat');
    const both = join(temporaryFolder(), 'b.csv');
    writeFileSync(both, 'time,asset_symbol,price_usd\n2026-03-01,batcat,1\n2026-03-02,bitcoin,1\n');
    await ask('truncate price_history');
    await expect(load({ source: 'files', files: both })).rejects.toMatchObject({
      message: expect.stringContaining('has prices of batcat as BTC'),
    });
  });

  it('exchange the symbol once the rows are deleted, and what was asked for is asked for again', async () => {
    const { baseUrl, asked } = await startCharts({ listed: Date.parse('2026-03-20') });
    await load({ ...range, baseUrl, coins: ['bitcoin'] });
    await ask(`delete from price_history where asset_symbol = 'BTC'`);
    asked.length = 0;
    expect(await load({ ...range, baseUrl, coins: ['batcat'] })).toMatchObject({ rows: 12 });
    expect(asked).toMatchObject([{ id: 'batcat', from: from.getTime() }]);
    const ledger = 'select symbol, asset_id as id from cryptosense_db.price_assets';
    expect(await ask(ledger)).toEqual([{ symbol: 'BTC', id: 'batcat' }]);
    const ranges = 'select from cryptosense_db.price_imports';
    expect(await ask(ranges)).toHaveLength(1);
  });
});

describe('the candles of an import', () => {
  it.each(['an empty database', 'a database with live prices'])(
    'never vanish from %s when the policy runs at any moment',
    async (state) => {
      if (state !== 'an empty database') {
        await ask(`insert into price_history (time, asset_symbol, price_usd, data_source)
        select time, 'SOL', 5, 'live' from generate_series(now() - interval '30 days', now(), interval '6 hours') time`);
      }
      const server = await startCharts();
      let shown = new Set<string>();
      const vanished: string[] = [];
      const look = async () => {
        const rows = await ask(
          `select day::text || asset_symbol as candle from price_history_daily`,
        );
        const current = new Set(rows.map(({ candle }) => String(candle)));
        vanished.push(...[...shown].filter((candle) => !current.has(candle)));
        shown = current;
      };
      for (const days of [90, 40, 9, 3, 1]) {
        await load({
          baseUrl: server.baseUrl,
          coins: ['ETH', 'SOL'],
          from: new Date(today - 120 * dayMs),
          to: new Date(today - (days - 1) * dayMs),
        });
        await look();
        await runPolicy();
        await look();
      }
      expect(vanished).toEqual([]);
      expect(await wrongCandles()).toEqual([]);
    },
  );
});

describe('an import from files', () => {
  const folderOf = (files: Readonly<Record<string, string | Buffer>>) => {
    const folder = join(temporaryFolder(), 'prices');
    mkdirSync(folder);
    for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
    return folder;
  };
  const noon = '2026-01-02T12:00:00Z';

  it.each([
    ['ISO 8601', noon],
    ['seconds', String(Date.parse(noon) / 1_000)],
    ['milliseconds', String(Date.parse(noon))],
    ['microseconds', `${Date.parse(noon)}000`],
  ])('reads times in %s', async (_, time) => {
    const files = folderOf({ 'a.csv': `time,asset_symbol,price_usd\n${time},eth,12.5\n` });
    expect(await load({ source: 'files', files })).toMatchObject({ rows: 1 });
    const [row] = await ask('select time, asset_symbol, price_usd, data_source from price_history');
    expect(row).toMatchObject({
      time: new Date(noon),
      asset_symbol: 'ETH',
      price_usd: '12.50000000',
      data_source: 'file',
    });
  });

  it('reads files of Binance and Kraken as downloaded, plain, in a zip and in a gzip', async () => {
    const klines = klinesOf('2026-01-01T00:00Z', '2026-01-03T00:00Z', { unit: 1_000 });
    const second = Date.parse('2026-01-01T00:00:00Z') / 1_000;
    const files = folderOf({
      'ETHUSDT-1h-2026-01.zip': zipOf({ 'ETHUSDT-1h-2026-01.csv': klines }),
      'SOLUSD_60.csv': `${second},100.5,101,99,100,3.2,8\n${second + 3_600},101.5,102,99,100,3.2,8\n`,
      'more.csv.gz': gzipSync(`time,asset_symbol,price_usd\n${noon},SOL,7\n`),
    });
    expect(await load({ source: 'files', files })).toMatchObject({ rows: 51, misfits: [] });
    expect(
      await ask('select data_source, count(*)::int from price_history group by 1 order by 1'),
    ).toEqual([
      { data_source: 'binance', count: 48 },
      { data_source: 'file', count: 1 },
      { data_source: 'kraken', count: 2 },
    ]);
  });

  it('leaves out and names files of pairs in another currency', async () => {
    const line = `${Date.parse('2026-01-01T00:00:00Z') / 1_000},100.5,101,99,100,3.2,8\n`;
    const files = folderOf({
      'kraken.zip': zipOf({ 'ADAETH_60.csv': line, 'ETHEUR_60.csv': line, 'XBTUSD_60.csv': line }),
      'ETHEUR-1h-2026-01.csv': klinesOf('2026-01-01T00:00Z', '2026-01-02T00:00Z'),
    });
    expect(await load({ source: 'files', files, coins: ['bitcoin', 'ETH'] })).toMatchObject({
      rows: 1,
      files: {
        unread: ['XBTUSD_60.csv'],
        inOtherCurrency: ['ETHEUR-1h-2026-01.csv', 'ADAETH_60.csv', 'ETHEUR_60.csv'],
      },
    });
    const alone = load({ source: 'files', files: join(files, 'ETHEUR-1h-2026-01.csv') });
    await expect(alone).rejects.toMatchObject({
      code: 'file-problem',
      message: expect.stringContaining('has no file of prices in dollars'),
    });
  });

  it('reads each file once, and one that has changed again', async () => {
    const files = folderOf({ 'a.csv': `time,asset_symbol,price_usd\n${noon},ETH,1\n` });
    await load({ source: 'files', files });
    expect(await load({ source: 'files', files })).toMatchObject({
      rows: 0,
      files: { unread: [], finished: ['a.csv'] },
    });
    writeFileSync(
      join(files, 'a.csv'),
      `time,asset_symbol,price_usd\n${noon},ETH,1\n2026-01-03,ETH,2\n`,
    );
    expect(await load({ source: 'files', files })).toMatchObject({ rows: 1 });
  });

  it.each([
    ['time,price_usd\n1,2\n', 'a.csv:1: the header has no asset_symbol'],
    ['time,asset_symbol,price_usd\nyesterday,ETH,2\n', 'a.csv:2: "yesterday" is not a time'],
    [`time,asset_symbol,price_usd\n${noon},ETH,\n`, 'a.csv:2: "" is not a price'],
    [`time,asset_symbol,price_usd\n${noon},ETH,.\n`, 'a.csv:2: "." is not a price'],
    [`time,asset_symbol,price_usd\n${noon},,2\n`, 'a.csv:2: it has no symbol'],
    [`time,asset_symbol,price_usd\n${noon},ETH,1,234.56\n`, 'a.csv:2: it has 4 values'],
    ['time,asset_symbol,price_usd\n2026-02-30,ETH,2\n', 'a.csv:2: "2026-02-30" is not a time'],
  ])('names file and line of a fault in %j', async (text, message) => {
    const files = folderOf({ 'a.csv': text });
    const done = load({ source: 'files', files });
    await expect(done).rejects.toMatchObject({
      code: 'faulty-answer',
      message: expect.stringContaining(message),
    });
  });

  it('reads a file again for other coins, and counts prices of the future and of long ago', async () => {
    const soon = new Date(Date.now() + 30 * dayMs).toISOString();
    const rows = [`${noon},ETH,1`, `${noon},SOL,2`, `${soon},SOL,3`, '2015-01-01,SOL,4'];
    const files = folderOf({ 'a.csv': `time,asset_symbol,price_usd\n${rows.join('\n')}\n` });
    expect(await load({ source: 'files', files, coins: ['ETH'] })).toMatchObject({ rows: 1 });
    const all = await load({ source: 'files', files });
    expect(all).toMatchObject({ rows: 1, leftOutPrices: { tooOld: 1, inFuture: 1 } });
    // The price of the future may be written later.
    expect(await load({ source: 'files', files, dryRun: true })).toMatchObject({
      files: { unread: ['a.csv'] },
    });
  });

  it('replaces rows with --overwrite, also when a file has none to write', async () => {
    const files = folderOf({
      'a.csv': `time,asset_symbol,price_usd\n${noon},ETH,2\n`,
      'b.csv': 'time,asset_symbol,price_usd\n',
      'c.csv': 'time,asset_symbol,price_usd\n2010-01-01,SOL,1\n',
    });
    await ask(`insert into price_history (time, asset_symbol, price_usd, data_source)
      values ('${noon}', 'ETH', 1, 'file'), ('${noon}', 'SOL', 1, 'file')`);
    const options = { source: 'files', files, overwrite: true } as const;
    expect(await load(options)).toMatchObject({ rows: 1, files: { unread: { length: 3 } } });
    expect(await load(options)).toMatchObject({ rows: 1, files: { unread: { length: 3 } } });
    expect(
      await ask('select asset_symbol, price_usd::float8 as price from price_history order by 1'),
    ).toEqual([
      { asset_symbol: 'ETH', price: 2 },
      { asset_symbol: 'SOL', price: 1 },
    ]);
  });

  it.each(['hourly', undefined] as const)(
    'replaces the same prices with --overwrite after a kill at any line, with the interval %s',
    async (interval) => {
      const second = Date.parse(noon) / 1_000;
      const lines = [
        ...[`${second}000001,ETH,1`, `${second}000001,SOL,2`, `${second}000002,ETH,3`],
        ...[`${second + 1_800},SOL,4`, `${second + 1_800},ETH,5`, `${second + 3_600},ETH,6`],
      ];
      const files = folderOf({ 'a.csv': `time,asset_symbol,price_usd\n${lines.join('\n')}\n` });
      const options = { source: 'files', files, interval, overwrite: true } as const;
      const rows = () =>
        ask('select time, asset_symbol, price_usd from price_history order by time, asset_symbol');
      await load(options);
      const whole = await rows();
      expect(whole).toHaveLength(interval === 'hourly' ? 3 : 5);
      for (let line = 1; line <= lines.length; line += 1) {
        await ask(`update cryptosense_db.price_files set lines = ${line}, is_finished = false`);
        await load(options);
        expect(await rows()).toEqual(whole);
      }
    },
  );

  it('reads a file again for another pair', async () => {
    const klines = klinesOf('2026-01-01T00:00Z', '2026-01-02T00:00Z', { unit: 1_000 });
    const files = folderOf({ 'LUNAUSDT-1h-2026-01.csv': klines });
    const options = { source: 'files', files } as const;
    expect(await load({ ...options, pairs: { ETH: 'LUNAUSDT' } })).toMatchObject({ rows: 24 });
    expect(await load({ ...options, pairs: { SOL: 'LUNAUSDT' } })).toMatchObject({ rows: 24 });
  });

  it('keeps the first price of an asset in a millisecond, and counts the others', async () => {
    const second = Date.parse(noon) / 1_000;
    const rows = [
      `${second}000001,ETH,1`,
      `${second}000001,SOL,2`,
      `${second}000002,ETH,3`,
      `${noon.replace('Z', '.000003Z')},ETH,4`,
      `${second}001000,ETH,5`,
    ];
    const files = folderOf({ 'a.csv': `time,asset_symbol,price_usd\n${rows.join('\n')}\n` });
    expect(await load({ source: 'files', files })).toMatchObject({
      rows: 3,
      leftOutPrices: { ofSameMoment: 2 },
    });
    expect(await ask('select price_usd::int as price from price_history order by price')).toEqual([
      { price: 1 },
      { price: 2 },
      { price: 5 },
    ]);
  });

  it('counts the repeated lines of a file of candles', async () => {
    const lines = klinesOf('2026-01-01T00:00Z', '2026-01-02T00:00Z').trim().split('\n');
    const text = lines.flatMap((line, index) => (index % 10 === 0 ? [line, line] : [line]));
    const files = folderOf({ 'ETHUSDT-1h-2026-01.csv': text.join('\n') });
    expect(await load({ source: 'files', files })).toMatchObject({
      rows: 24,
      leftOutPrices: { ofSameMoment: 3 },
    });
  });

  it('tells files of one name in an archive apart, and passes over other files in it', async () => {
    const row = (symbol: string) => `time,asset_symbol,price_usd\n${noon},${symbol},1\n`;
    const files = folderOf({
      'all.zip': zipOf({
        'a/p.csv': row('ETH'),
        'b/p.csv.gz': gzipSync(row('SOL')),
        '__MACOSX/a/._p.csv': 'x',
        'README.txt': 'x',
      }),
    });
    expect(await load({ source: 'files', files })).toMatchObject({ rows: 2 });
    expect(await load({ source: 'files', files: join(files, 'all.zip') })).toMatchObject({
      rows: 0,
    });
  });

  it('refuses prices that are not in order of time where the first of a day counts', async () => {
    const files = folderOf({
      'a.csv': 'time,asset_symbol,price_usd\n2026-01-02,ETH,1\n2026-01-01,ETH,2\n',
    });
    await expect(load({ source: 'files', files, interval: 'daily' })).rejects.toMatchObject({
      code: 'faulty-answer',
      message: expect.stringContaining('not in order of time'),
    });
  });

  it('knows an asset by its symbol or its id', async () => {
    const rows = ['eth', 'ethereum', 'ETH', 'solana', 'bitcoin'].map(
      (word, hour) => `2026-01-02T0${hour}:00Z,${word},1`,
    );
    const files = folderOf({ 'a.csv': `time,asset_symbol,price_usd\n${rows.join('\n')}\n` });
    expect(await load({ source: 'files', files, coins: ['ETH', 'SOL'] })).toMatchObject({
      rows: 4,
    });
    expect(
      await ask(
        'select asset_symbol as symbol, count(*)::int from price_history group by 1 order by 1',
      ),
    ).toEqual([
      { symbol: 'ETH', count: 3 },
      { symbol: 'SOL', count: 1 },
    ]);
  });

  it('refuses an empty zip', async () => {
    const files = folderOf({ 'a.zip': zipOf({}) });
    await expect(load({ source: 'files', files })).rejects.toMatchObject({
      code: 'file-problem',
      message: expect.stringContaining('has no file of prices'),
    });
  });

  it.each([true, false])(
    'names every symbol of the files that stands for no asset before the first row, with dryRun %s',
    async (dryRun) => {
      const klines = klinesOf('2026-01-01T00:00Z', '2026-01-02T00:00Z');
      const files = folderOf({
        'AUSDT-1h-2026-01.csv': klines,
        'BTCUSDT-1h-2026-01.csv': klines,
        'CUSD_60.csv': '1767225600,1,1,1,1,1,1\n',
        'ETHUSDT-1h-2026-01.csv': klines,
      });
      const options = { source: 'files', files, dryRun } as const;
      await expect(load(options)).rejects.toMatchObject({
        code: 'unknown-asset',
        problems: [
          { message: expect.stringContaining('A is not in the table assets') },
          { message: expect.stringContaining('BTC is the symbol of 2 assets') },
          {
            message: expect.stringContaining('C is not in the table assets'),
            hint: expect.stringContaining('name the wanted assets with --coins'),
          },
        ],
      });
      expect(await ask('select from price_history')).toEqual([]);
      expect(await load({ ...options, coins: ['ETH'] })).toMatchObject({ rows: dryRun ? 0 : 24 });
    },
  );

  it.each([
    ['z.csv', 'time,price\n', 'faulty-answer', 'z.csv:1: the header has no'],
    ['z.csv', '', 'file-problem', 'z.csv is empty'],
    ['z.csv', '\n\n', 'file-problem', 'z.csv is empty'],
    ['z.csv.gz', gzipSync(''), 'file-problem', 'z.csv.gz is empty'],
    ['SOLUSDT-1h-2026-01.csv', '', 'file-problem', 'SOLUSDT-1h-2026-01.csv is empty'],
    ['SOLUSD_60.csv', 'x', 'faulty-answer', 'SOLUSD_60.csv:1: it is not a row'],
  ])(
    'refuses the file %s with the text %j before the first row',
    async (name, text, code, message) => {
      const files = folderOf({
        'a.csv': `time,asset_symbol,price_usd\n${noon},ETH,1\n`,
        [name]: text,
      });
      for (const dryRun of [true, false]) {
        await expect(load({ source: 'files', files, dryRun })).rejects.toMatchObject({
          code,
          message: expect.stringContaining(message),
        });
      }
      expect(await ask('select from price_history')).toEqual([]);
    },
  );

  it('names files that have no more than a header', async () => {
    const files = folderOf({
      'SOLUSDT-1h-2026-01.csv': 'open_time,open,high,low,close\n',
      'a.csv': 'time,asset_symbol,price_usd\n',
      'b.csv': `time,asset_symbol,price_usd\n${noon},ETH,1\n`,
    });
    expect(await load({ source: 'files', files })).toMatchObject({
      rows: 1,
      filesWithoutPrices: ['SOLUSDT-1h-2026-01.csv', 'a.csv'],
    });
  });

  it('tells an asset that is not active from one that the table lacks', async () => {
    await ask(`update assets set is_active = false where coingecko_id = 'solana'`);
    const files = folderOf({ 'a.csv': `time,asset_symbol,price_usd\n${noon},SOL,1\n` });
    const inactive = {
      code: 'unknown-asset',
      problems: [
        {
          message: 'SOL (Solana) is not active in the table assets',
          hint: expect.stringContaining(`is_active = true where coingecko_id = 'solana'`),
        },
      ],
    };
    await expect(load({ coins: ['SOL'] })).rejects.toMatchObject(inactive);
    await expect(load({ coins: ['solana'] })).rejects.toMatchObject(inactive);
    await expect(load({ source: 'files', files })).rejects.toMatchObject(inactive);
    const largest = await load({ dryRun: true });
    expect(largest.assets.map(({ symbol }) => symbol)).not.toContain('SOL');
    await ask(`update assets set is_active = true`);
  });

  it('keeps what no policy drops, where a policy goes by the age of chunks', async () => {
    await ask(`select remove_retention_policy('price_history')`);
    await ask(
      `select add_retention_policy('price_history', drop_created_before => interval '5 years')`,
    );
    const files = folderOf({ 'a.csv': 'time,asset_symbol,price_usd\n2015-01-01,ETH,1\n' });
    expect(await load({ source: 'files', files })).toMatchObject({
      rows: 1,
      leftOutPrices: { tooOld: 0 },
    });
    await ask(`select remove_retention_policy('price_history')`);
    await ask(`select add_retention_policy('price_history', interval '5 years')`);
  });

  it('refuses an asset that the table lacks, and a damaged zip', async () => {
    const unknown = folderOf({ 'a.csv': `time,asset_symbol,price_usd\n${noon},NOPE,1\n` });
    await expect(load({ source: 'files', files: unknown })).rejects.toMatchObject({
      code: 'unknown-asset',
      problems: [
        {
          evidence: [join(unknown, 'a.csv')],
          hint: expect.stringContaining('name the wanted assets with --coins'),
        },
      ],
    });
    const zip = zipOf({
      'ETHUSDT-1h-2026-01.csv': klinesOf('2026-01-01T00:00Z', '2026-01-03T00:00Z'),
    });
    zip[60] = (zip[60] ?? 0) ^ 0xff;
    const damaged = folderOf({ 'ETHUSDT-1h-2026-01.zip': zip });
    await expect(load({ source: 'files', files: damaged })).rejects.toMatchObject({
      code: 'file-problem',
    });
  });

  it('leaves the candles alone when the columns can hold no price of a file', async () => {
    const files = folderOf({ 'a.csv': 'time,asset_symbol,price_usd\n2026-01-04,ETH,0\n' });
    expect(await load({ source: 'files', files })).toMatchObject({
      rows: 0,
      candles: undefined,
      misfits: [{ symbol: 'ETH', kind: 'price is zero', rows: 1 }],
    });
    expect(await ask('select from cryptosense_db.price_upkeep')).toEqual([]);
  });

  it('names prices that the columns cannot hold', async () => {
    const rows = [
      `${noon},ETH,0.0000001234,`,
      '2026-01-03,ETH,1e15,',
      '2026-01-04,ETH,0,',
      '2026-01-05,ETH,-1,',
      '2026-01-06,ETH,.5,-5',
    ];
    const files = folderOf({
      'a.csv': `time,asset_symbol,price_usd,market_cap_usd\n${rows.join('\n')}\n`,
    });
    expect(await load({ source: 'files', files })).toMatchObject({
      rows: 2,
      misfits: [
        { symbol: 'ETH', kind: 'price keeps few digits', rows: 1 },
        { symbol: 'ETH', kind: 'price too large', rows: 1 },
        { symbol: 'ETH', kind: 'price is zero', rows: 1 },
        { symbol: 'ETH', kind: 'price is negative', rows: 1 },
        { symbol: 'ETH', kind: 'figure out of range', rows: 1 },
      ],
    });
    expect(
      await ask(`select price_usd::float8 as price, market_cap_usd as cap from price_history
        where time = '2026-01-06T00:00:00Z'`),
    ).toEqual([{ price: 0.5, cap: null }]);
    // The rows that are there are not written again.
    const again = await load({ source: 'files', files, coins: ['ETH'] });
    expect(again.misfits.map(({ kind }) => kind)).toEqual([
      'price too large',
      'price is zero',
      'price is negative',
    ]);
  });
});

describe('prices status and show', () => {
  it('know a coin by its symbol or id, and are incomplete without a price of one that is named', async () => {
    expect(await status({ target: database.url })).toMatchObject({ isComplete: false, assets: [] });
    await ask(`insert into price_history (time, asset_symbol, price_usd) values (now(), 'ETH', 5)`);
    const of = async (...coins: string[]) => {
      const { withoutPrices, isComplete } = await status({ target: database.url, coins });
      return { withoutPrices, isComplete };
    };
    expect(await of('eth')).toEqual({ withoutPrices: [], isComplete: true });
    expect(await of('ethereum')).toEqual({ withoutPrices: [], isComplete: true });
    expect(await of('ETH', 'bitcoin', 'NOPE')).toEqual({
      withoutPrices: ['BTC', 'NOPE'],
      isComplete: false,
    });
  });

  it('tell daily and hourly prices of an asset apart', async () => {
    await ask(`insert into price_history (time, asset_symbol, price_usd)
      select time, 'ETH', 5 from generate_series(timestamptz '2026-01-01', '2026-03-19', '1 day') time
      union all
      select time, 'ETH', 5 from generate_series(timestamptz '2026-03-20', '2026-04-30 23:00', '1 hour') time
      where time <> '2026-04-02 05:00'`);
    expect((await status({ target: database.url })).assets).toMatchObject([
      { interval: 'daily', first: new Date('2026-01-01'), gaps: 0, months: { length: 2 } },
      { interval: 'hourly', first: new Date('2026-03-20'), gaps: 1, months: { length: 2 } },
    ]);
  });

  it('tell first, last, rows, gaps and candles of each asset', async () => {
    await ask(`insert into price_history (time, asset_symbol, price_usd)
      select time, 'ETH', 5 from generate_series(now() - interval '20 days', now(), interval '1 day') time
      where time not between now() - interval '10 days 1 hour' and now() - interval '8 days'`);
    const before = await status({ target: database.url });
    expect(before).toMatchObject({
      isComplete: false,
      assets: [{ symbol: 'ETH', interval: 'daily', rows: 18, gaps: 3 }],
    });
    await ask(
      `call refresh_continuous_aggregate('price_history_daily', null, date_trunc('day', now(), 'UTC'))`,
    );
    const after = await status({ target: database.url });
    expect(after.assets).toMatchObject([{ candlesMissing: 0 }]);
    const { candles } = await show({ target: database.url, symbol: 'eth', days: 30 });
    expect(candles).toHaveLength(18);
    await expect(show({ target: database.url, symbol: 'NOPE' })).rejects.toMatchObject({
      code: 'unknown-asset',
    });
  });
});
