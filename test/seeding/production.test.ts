import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import * as seeding from '../../src/seeding/seed.ts';
import { type Coin, coin, coins, startCoinGecko } from '../support/coingecko.ts';
import { temporaryFolder } from '../support/fixtures.ts';
import { createMigratedDatabase, type TimescaleDatabase } from '../support/schema-database.ts';

let database: TimescaleDatabase;

beforeAll(async () => {
  database = await createMigratedDatabase();
});
afterAll(() => database?.drop());

beforeEach(() =>
  database.withSql(async (sql) => {
    await sql`delete from price_history`;
    // The view keeps candles of past days until it is refreshed.
    await sql.unsafe(`call refresh_continuous_aggregate('price_history_daily', null, null)`);
    await sql`delete from assets`;
    // The triggers that keep the record append-only do not fire for a replica.
    await sql.unsafe(`
      set session_replication_role = replica;
      delete from cryptosense_db.seed_runs;
      delete from cryptosense_db.seed_afterwards;
      reset session_replication_role`);
  }),
);

const ask = (query: string) => database.withSql(async (sql) => [...(await sql.unsafe(query))]);

/** A file with that answer, as `--from` takes it. */
function savedAnswer(rows: readonly Coin[], takenAt = '2026-11-22T10:00:00Z'): string {
  const file = join(temporaryFolder(), 'answer.json');
  writeFileSync(file, JSON.stringify({ takenAt, rows }));
  return file;
}

function seedFrom(rows: readonly Coin[], options: Partial<seeding.ProductionOptions> = {}) {
  const from = savedAnswer(rows);
  return seeding.production({ target: database.url, from, top: rows.length, ...options });
}

const notesOf = ({ seeders }: seeding.SeedResult) => seeders.flatMap(({ notes }) => notes);

describe('seed --env production', () => {
  it('seeds the top 100 from CoinGecko, with a price for each', async () => {
    const server = await startCoinGecko(coins(300));
    const { baseUrl } = server;
    const result = await seeding.production({ target: database.url, baseUrl });
    expect(result).toMatchObject({
      environment: 'production',
      market: { source: 'coingecko', assets: 100 },
      seeders: [{ notes: ['100 new, 0 updated'] }],
    });
    const assets = await ask('select * from assets order by market_cap_rank');
    expect(assets).toHaveLength(100);
    expect(assets[1]).toMatchObject({
      coingecko_id: 'coin-2',
      symbol: 'C2',
      name: 'Coin 2',
      market_cap_rank: 2,
      current_price_usd: '500.000000000000000000',
      market_cap_usd: '500000000.00',
      volume_24h_usd: '2500000.00',
      price_updated_at: new Date('2026-11-22T10:00:00.123Z'),
      image_url: expect.stringContaining('/2/'),
      is_active: true,
    });
    const prices = await ask(`select * from price_history where asset_symbol = 'C2'`);
    expect(prices).toEqual([
      {
        time: new Date('2026-11-22T10:00:00.123Z'),
        asset_symbol: 'C2',
        price_usd: '500.00000000',
        market_cap_usd: '500000000.00',
        volume_24h_usd: '2500000.00',
        percent_change_1h: '0.25',
        percent_change_24h: '1.50',
        percent_change_7d: '-3.75',
        data_source: 'coingecko',
      },
    ]);
    expect(await ask('select from price_history')).toHaveLength(100);
    const runs = await ask(
      'select environment, seeder, seed, scale, rows from cryptosense_db.seed_runs',
    );
    expect(runs).toEqual([
      {
        environment: 'production',
        seeder: '01_assets',
        seed: null,
        scale: null,
        rows: { assets: 100, price_history: 100 },
      },
    ]);
  });

  it('seeds more assets than one page of CoinGecko holds', async () => {
    const server = await startCoinGecko(coins(600));
    const { baseUrl } = server;
    await seeding.production({ target: database.url, baseUrl, top: 520 });
    expect(server.asked.map(({ query }) => [query.per_page, query.page])).toEqual([
      ['250', '1'],
      ['250', '2'],
      ['250', '3'],
    ]);
    const [row] = await ask('select count(*)::int, max(market_cap_rank) as last from assets');
    expect(row).toEqual({ count: 520, last: 520 });
  });

  it('updates ranks and figures in a second run, and makes missing assets inactive', async () => {
    await seedFrom(coins(10));
    const ids = await ask('select coingecko_id, id, created_at from assets order by 1');
    const swapped = [
      coin(10, { market_cap_rank: 1, current_price: 7_777, name: 'Renamed' }),
      ...coins(8).map((row) => ({ ...row, market_cap_rank: Number(row.market_cap_rank) + 1 })),
      coin(11, { market_cap_rank: 10 }),
    ];
    const result = await seedFrom(swapped);
    expect(notesOf(result)).toEqual(['1 new, 9 updated', 'left the top 10, now inactive: coin-9']);
    const rows = await ask(
      'select coingecko_id, market_cap_rank as rank, is_active, name from assets order by 2 nulls last',
    );
    expect(rows[0]).toEqual({ coingecko_id: 'coin-10', rank: 1, is_active: true, name: 'Renamed' });
    expect(rows[1]).toMatchObject({ coingecko_id: 'coin-1', rank: 2 });
    expect(rows.at(-1)).toMatchObject({ coingecko_id: 'coin-9', rank: null, is_active: false });
    expect(rows).toHaveLength(11);
    const after = await ask('select coingecko_id, id, created_at from assets order by 1');
    expect(after).toEqual(expect.arrayContaining(ids));
  });

  it('makes an asset active again when the list has it again', async () => {
    await seedFrom(coins(3));
    await seedFrom(coins(2));
    const result = await seedFrom(coins(3));
    expect(notesOf(result)).toContain('back, now active: coin-3');
    expect(await ask('select from assets where is_active')).toHaveLength(3);
  });

  it('keeps the assets that a person edited, deactivated or inserted', async () => {
    await seedFrom(coins(3));
    await ask(`update assets set is_active = false where coingecko_id = 'coin-2'`);
    await ask(`insert into assets (coingecko_id, symbol, name) values ('ours', 'OURS', 'Our own')`);
    await ask(`insert into assets (coingecko_id, symbol, name, market_cap_rank, is_active)
      values ('theirs', 'X', 'Ranked by hand', 4, true)`);
    await seedFrom(coins(3));
    // Leaves and comes back: it was not the tool that had switched it off.
    await seedFrom([coin(1), coin(3)]);
    await seedFrom(coins(3));
    const rows = await ask('select coingecko_id, is_active from assets order by 1');
    expect(rows).toEqual([
      { coingecko_id: 'coin-1', is_active: true },
      { coingecko_id: 'coin-2', is_active: false },
      { coingecko_id: 'coin-3', is_active: true },
      { coingecko_id: 'ours', is_active: true },
      { coingecko_id: 'theirs', is_active: true },
    ]);
  });

  it('clears the rank of an asset that is no longer in the list, even when a person deactivated it', async () => {
    await seedFrom(coins(3));
    await ask(`update assets set is_active = false where coingecko_id = 'coin-3'`);
    const result = await seedFrom(coins(2));
    const rows = await ask('select market_cap_rank as rank from assets order by coingecko_id');
    expect(rows).toEqual([{ rank: 1 }, { rank: 2 }, { rank: null }]);
    expect(notesOf(result)).toEqual(['0 new, 2 updated']);
  });

  it('refuses an answer that is older than the last seeded answer', async () => {
    await seedFrom(coins(3));
    const from = savedAnswer(coins(1), '2026-11-21T10:00:00Z');
    await expect(seeding.production({ target: database.url, from, top: 1 })).rejects.toThrow(
      /the answer of 2026-11-21.* is older than the last seeded one, of 2026-11-22/,
    );
    expect(await ask('select from assets where is_active')).toHaveLength(3);
  });

  it('changes nothing when a later run brings an older answer', async () => {
    const soon = new Date(Date.now() + 60_000).toISOString();
    await seeding.production({ target: database.url, from: savedAnswer(coins(3), soon), top: 3 });
    const server = await startCoinGecko(coins(2));
    const { baseUrl } = server;
    const result = await seeding.production({ target: database.url, baseUrl, top: 2 });
    expect(notesOf(result)).toEqual([
      `the database has a newer answer, of ${soon}: nothing was changed`,
    ]);
    expect(await ask('select from assets where is_active')).toHaveLength(3);
  });

  it('shows prices of today in the view when today was materialised before', async () => {
    const moment = new Date().toISOString();
    const today = (price: number) => [coin(1, { current_price: price, last_updated: moment })];
    await seedFrom(today(100));
    await ask(`call refresh_continuous_aggregate('price_history_daily', null, null)`);
    await seedFrom(today(250));
    const days = await ask(
      `select high::float, close::float from price_history_daily where asset_symbol = 'C1'`,
    );
    expect(days).toEqual([{ high: 250, close: 250 }]);
  });

  it('keeps the candles of a day whose prices are dropped', async () => {
    await ask(`insert into price_history (time, asset_symbol, price_usd)
      select '2020-01-05'::timestamptz + n * interval '1 day', 'BTC', 7000 from generate_series(0, 9) n`);
    await ask(
      `call refresh_continuous_aggregate('price_history_daily', '2020-01-01', '2020-03-01')`,
    );
    await ask(`select drop_chunks('price_history', '2020-03-01'::timestamptz)`);
    const result = await seedFrom([coin(1), coin(2, { last_updated: '2020-01-10T00:00:00Z' })]);
    expect(notesOf(result)).toContain(
      'price_history_daily is not refreshed for days whose prices were dropped',
    );
    const candles = await ask(`select from price_history_daily where asset_symbol = 'BTC'`);
    expect(candles).toHaveLength(10);
    await ask(
      `call refresh_continuous_aggregate('price_history_daily', '2020-01-01', '2020-03-01')`,
    );
  });

  it('refreshes the view that an earlier run did not refresh', async () => {
    await ask(
      `call refresh_continuous_aggregate('price_history_daily', now() - interval '3 days', now())`,
    );
    await seedFrom([coin(1, { last_updated: '2026-10-01T10:00:00Z' })], { top: 1 });
    await ask(`delete from price_history`);
    await ask(`insert into price_history (time, asset_symbol, price_usd)
      values ('2026-09-01T10:00:00Z', 'C9', 9)`);
    await ask(`insert into cryptosense_db.seed_afterwards
      values ('01_assets', '[{"days": ["2026-09-01T00:00:00.000Z", "2026-10-01T00:00:00.000Z"]}]')`);
    await seedFrom([coin(1)]);
    const days = await ask(
      `select day from price_history_daily where day < '2026-11-01' and asset_symbol in ('C1', 'C9')`,
    );
    expect(days).toEqual([{ day: new Date('2026-09-01T00:00:00Z') }]);
    expect(await ask('select from cryptosense_db.seed_afterwards')).toHaveLength(0);
  });

  it('shows prices of past days in price_history_daily', async () => {
    const rows = coins(2).map((row) => ({ ...row, last_updated: '2026-10-01T10:00:00Z' }));
    // As a policy leaves it: days before today are what has been materialised.
    await ask(
      `call refresh_continuous_aggregate('price_history_daily', now() - interval '3 days', now())`,
    );
    await seedFrom(rows);
    const days = await ask(
      `select day, close::float from price_history_daily
       where asset_symbol = 'C1' and day < '2026-11-01'`,
    );
    expect(days).toEqual([{ day: new Date('2026-10-01T00:00:00Z'), close: 1000 }]);
  });

  it('keeps an asset active that a person activated after the list lacked it', async () => {
    await seedFrom(coins(2));
    await seedFrom(coins(1));
    await ask('update assets set is_active = true');
    await seedFrom(coins(1));
    expect(await ask('select from assets where is_active')).toHaveLength(2);
  });

  it('writes no second price for the same answer', async () => {
    await seedFrom(coins(5));
    await seedFrom(coins(5));
    expect(await ask('select from price_history')).toHaveLength(5);
  });

  it("keeps another source's price of the same moment", async () => {
    await ask(`insert into price_history (time, asset_symbol, price_usd, data_source)
      values ('2026-11-22T10:00:00.123Z', 'C1', 1.5, 'binance')`);
    await seedFrom(coins(1));
    const rows = await ask('select price_usd::float, data_source from price_history');
    expect(rows).toEqual([{ price_usd: 1.5, data_source: 'binance' }]);
  });

  it('accepts the nulls that the API allows, and reports assets without a price', async () => {
    const nothing = {
      image: null,
      current_price: null,
      market_cap: null,
      market_cap_rank: null,
      total_volume: null,
      price_change_percentage_1h_in_currency: null,
      price_change_percentage_24h_in_currency: null,
      price_change_percentage_7d_in_currency: null,
      last_updated: null,
    };
    const rows = [
      coin(1, nothing),
      coin(2, { last_updated: null }),
      coin(3, { current_price: 1e-9 }),
      coin(4, { symbol: 'c2' }),
      coin(5, { symbol: 'a-symbol-of-twenty-six-cha' }),
    ];
    const result = await seedFrom(rows);
    expect(notesOf(result)).toContain(
      'without a price: coin-1 (CoinGecko has none), coin-3 (too small for price_history), ' +
        'coin-4 (C2 is used by coin-2), coin-5 (its symbol is too long for price_history)',
    );
    expect(await ask('select time, asset_symbol from price_history')).toEqual([
      { time: new Date('2026-11-22T10:00:00Z'), asset_symbol: 'C2' },
    ]);
    const [tiny] = await ask(`select current_price_usd from assets where coingecko_id = 'coin-3'`);
    expect(tiny).toEqual({ current_price_usd: '0.000000001000000000' });
  });

  it('writes the largest figures that the columns hold', async () => {
    await seedFrom([
      coin(1, {
        current_price: 999_999_999_999,
        market_cap: 999_999_999_999_999_900,
        total_volume: 0.005,
        price_change_percentage_7d_in_currency: 99_999_999,
      }),
    ]);
    expect(await ask('select from assets')).toHaveLength(1);
  });

  it('writes nothing from a faulty answer', async () => {
    const refused = seedFrom([coin(1), coin(2, { market_cap: 1e18 })]);
    await expect(refused).rejects.toMatchObject({ code: 'faulty-answer' });
    expect(await ask('select from assets')).toHaveLength(0);
  });

  it('writes nothing when the answer has fewer assets than requested', async () => {
    const server = await startCoinGecko(coins(99));
    const { baseUrl } = server;
    await expect(seeding.production({ target: database.url, baseUrl })).rejects.toThrow(
      'it has 99 of the 100 requested assets',
    );
    expect(await ask('select from assets')).toHaveLength(0);
  });

  it('writes no asset when the database refuses a price', async () => {
    await ask(`alter table price_history add constraint no_c3 check (asset_symbol <> 'C3')`);
    try {
      await expect(seedFrom(coins(5))).rejects.toMatchObject({
        code: 'seed-failed',
        details: { seeder: '01_assets', sqlState: '23514' },
      });
      expect(await ask('select from assets')).toHaveLength(0);
      expect(await ask('select from cryptosense_db.seed_runs')).toHaveLength(0);
    } finally {
      await ask('alter table price_history drop constraint no_c3');
    }
  });

  it('writes nothing in a dry run', async () => {
    const result = await seedFrom(coins(5), { dryRun: true });
    expect(notesOf(result)).toEqual(['5 new, 0 updated']);
    expect(await ask('select from assets')).toHaveLength(0);
  });
});

describe('a saved answer', () => {
  it('is written by --save and seeds the same rows', async () => {
    const server = await startCoinGecko(coins(300));
    const file = join(temporaryFolder(), 'answer.json');
    const { baseUrl } = server;
    const target = database.url;
    await seeding.production({ target, baseUrl, save: file, top: 7 });
    const columns = 'coingecko_id, symbol, name, market_cap_rank, current_price_usd, is_active';
    const fetched = await ask(`select ${columns} from assets order by 1`);
    await ask('delete from assets');
    const { market } = await seeding.production({ target, from: file, top: 7 });
    expect(market).toMatchObject({ source: 'file', assets: 7 });
    expect(await ask(`select ${columns} from assets order by 1`)).toEqual(fetched);
    expect(server.asked).toHaveLength(1);
  });

  it('can be the array of the API, with more assets than requested', async () => {
    const file = join(temporaryFolder(), 'answer.json');
    writeFileSync(file, JSON.stringify(coins(20)));
    await seeding.production({ target: database.url, from: file, top: 12 });
    expect(await ask('select from assets')).toHaveLength(12);
  });

  it('is saved without a database', async () => {
    const server = await startCoinGecko(coins(300));
    const file = join(temporaryFolder(), 'answer.json');
    const saved = await seeding.saveMarket(file, { baseUrl: server.baseUrl, top: 3 });
    expect(saved).toMatchObject({ file, assets: 3 });
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({
      rows: [{ id: 'coin-1' }, { id: 'coin-2' }, { id: 'coin-3' }],
    });
  });
});

describe('the snapshot', () => {
  it('seeds 100 ids, symbols and names without figures', async () => {
    const result = await seeding.production({ target: database.url, offline: true });
    expect(result.market).toMatchObject({ source: 'snapshot', assets: 100 });
    const [row] = await ask(
      `select count(*)::int, count(market_cap_rank)::int as ranks, count(current_price_usd)::int as prices,
        count(image_url)::int as images, bool_and(is_active) as active,
        bool_and(symbol = upper(symbol)) as upper from assets`,
    );
    expect(row).toEqual({ count: 100, ranks: 0, prices: 0, images: 0, active: true, upper: true });
    expect(await ask('select from price_history')).toHaveLength(0);
    expect(
      await ask(`select from assets where coingecko_id in ('bitcoin', 'ethereum')`),
    ).toHaveLength(2);
  });

  it('does not change existing figures, and a later answer of CoinGecko updates its assets', async () => {
    await seedFrom([coin(1, { id: 'bitcoin', symbol: 'btc', name: 'Bitcoin today' })]);
    const result = await seeding.production({ target: database.url, offline: true });
    expect(notesOf(result)).toEqual(['99 new, 1 known and unchanged']);
    const [bitcoin] = await ask(
      `select name, market_cap_rank as rank, is_active from assets where coingecko_id = 'bitcoin'`,
    );
    expect(bitcoin).toEqual({ name: 'Bitcoin today', rank: 1, is_active: true });
    await seedFrom([coin(1, { id: 'bitcoin' }), coin(2, { id: 'ethereum' })]);
    expect(await ask('select from assets where is_active')).toHaveLength(2);
  });
});
