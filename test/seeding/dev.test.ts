import { createDecipheriv, createHash } from 'node:crypto';
import type { Sql } from 'postgres';
import { afterAll, beforeAll, describe, expect, inject, it, onTestFinished } from 'vitest';
import { passwordHashes } from '../../seeds/story/cast.ts';
import { developmentPassphrase } from '../../seeds/story/keys.ts';
import { mark } from '../../src/databases/lifecycle.ts';
import * as migrate from '../../src/migrations/migrate.ts';
import * as seeding from '../../src/seeding/seed.ts';
import { createScratchRole } from '../support/databases.ts';
import {
  createFolderDatabase,
  createMigratedDatabase,
  type TimescaleDatabase,
} from '../support/schema-database.ts';
import { coinsSchema, migratedDatabase, writeSeeders } from '../support/seeding.ts';

const admin = '11111111-1111-1111-1111-111111111111';
const pro = '22222222-2222-2222-2222-222222222222';
const free = '33333333-3333-3333-3333-333333333333';
const main = 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa';
const trading = 'bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb';

const seeded = [
  'alert_history',
  'alerts',
  'assets',
  'exchange_connections',
  'holdings',
  'portfolios',
  'predictions',
  'price_history',
  'risk_scores',
  'social_sentiment_history',
  'subscriptions',
  'transactions',
  'users',
] as const;

/** Of every row of every table. */
async function fingerprint(sql: Sql, as = 't'): Promise<Readonly<Record<string, string>>> {
  const prints: Record<string, string> = {};
  for (const table of seeded) {
    const [row] = await sql.unsafe(
      `select count(*) || ' ' || md5(string_agg(${as}::text, '|' order by ${as}::text)) as print from ${table} t`,
    );
    prints[table] = row?.print ?? '';
  }
  return prints;
}

describe('seed --env dev', () => {
  let database: TimescaleDatabase;
  let result: seeding.DevResult;
  const now = new Date();

  beforeAll(async () => {
    database = await createMigratedDatabase();
    result = await seeding.dev({ target: database.url, now });
  });
  afterAll(() => database?.drop());

  const ask = (query: string) => database.withSql((sql) => sql.unsafe(query));

  it('writes the three users of the specification and no others', async () => {
    const rows = await ask(
      'select id, email, first_name, last_name, tier, email_verified from users order by id',
    );
    const shared = { last_name: null, email_verified: true };
    expect([...rows]).toEqual([
      {
        ...shared,
        id: admin,
        email: 'admin@cryptosense.dev',
        first_name: 'Admin',
        tier: 'power-trader',
      },
      { ...shared, id: pro, email: 'pro@cryptosense.dev', first_name: 'Pro User', tier: 'pro' },
      { ...shared, id: free, email: 'free@cryptosense.dev', first_name: 'Free User', tier: 'free' },
    ]);
  });

  it('stores a hash of the development password for each user', async () => {
    const rows = await ask('select password_hash from users');
    // story.test.ts shows that each of them is bcrypt of the password at cost 12.
    for (const { password_hash: hash } of rows) expect(passwordHashes).toContain(hash);
  });

  it('writes the two portfolios and the three holdings of the specification', async () => {
    expect([
      ...(await ask('select id, user_id, name, is_primary from portfolios order by id')),
    ]).toEqual([
      { id: main, user_id: admin, name: 'Main Portfolio', is_primary: true },
      { id: trading, user_id: pro, name: 'Trading Portfolio', is_primary: true },
    ]);
    const holdings = await ask(
      `select portfolio_id, asset_symbol, asset_name, quantity::float, current_price::float,
        exchange_source from holdings order by asset_symbol`,
    );
    const of = { portfolio_id: main };
    expect([...holdings]).toEqual([
      {
        ...of,
        asset_symbol: 'BTC',
        asset_name: 'Bitcoin',
        quantity: 1.5,
        current_price: 43000,
        exchange_source: 'binance',
      },
      {
        ...of,
        asset_symbol: 'ETH',
        asset_name: 'Ethereum',
        quantity: 25,
        current_price: 2300,
        exchange_source: 'coinbase',
      },
      {
        ...of,
        asset_symbol: 'SOL',
        asset_name: 'Solana',
        quantity: 500,
        current_price: 98,
        exchange_source: 'binance',
      },
    ]);
  });

  it('writes the four risk scores of the specification at the current moment', async () => {
    const rows = await ask(
      `select asset_symbol, risk_score::float, risk_level, volatility_score::float, calculated_at
       from risk_scores order by risk_score`,
    );
    expect([...rows]).toEqual([
      {
        asset_symbol: 'BTC',
        risk_score: 35,
        risk_level: 'medium',
        volatility_score: 40,
        calculated_at: now,
      },
      {
        asset_symbol: 'ETH',
        risk_score: 42,
        risk_level: 'medium',
        volatility_score: 45,
        calculated_at: now,
      },
      {
        asset_symbol: 'SOL',
        risk_score: 58,
        risk_level: 'high',
        volatility_score: 65,
        calculated_at: now,
      },
      {
        asset_symbol: 'SHIB',
        risk_score: 92,
        risk_level: 'extreme',
        volatility_score: 95,
        calculated_at: now,
      },
    ]);
    expect(await ask('select from latest_risk_scores')).toHaveLength(4);
  });

  it('writes 1,440 synthetic prices of BTC, a minute apart, for the last 24 hours', async () => {
    const [row] = await ask(
      `select count(*)::int, count(distinct time)::int as moments, min(time) as first,
        max(time) as last, min(price_usd) >= 42500 and max(price_usd) <= 43500 as is_within,
        min(volume_24h_usd)::float as low, max(volume_24h_usd)::float as high,
        string_agg(distinct data_source, ',') as sources
       from price_history where asset_symbol = 'BTC'`,
    );
    const minutes = (count: number) => new Date(now.getTime() - count * 60_000);
    expect(row).toEqual({
      count: 1440,
      moments: 1440,
      first: minutes(1440),
      last: minutes(1),
      is_within: true,
      low: 28_000_000_000,
      high: 28_000_000_000,
      sources: 'synthetic',
    });
  });

  it('leaves candles of yesterday and today that match the prices', async () => {
    const [row] = await ask(
      `select count(*)::int, bool_and(
        (d.open, d.high, d.low, d.close) = (p.open, p.high, p.low, p.close)) as is_true
       from price_history_daily d join (
         select time_bucket('1 day', time) as day, asset_symbol, first(price_usd, time) as open,
           max(price_usd) as high, min(price_usd) as low, last(price_usd, time) as close
         from price_history group by 1, 2
       ) p using (day, asset_symbol) where asset_symbol = 'BTC'`,
    );
    // One day, should this run in the first minute after midnight in UTC.
    expect(row).toEqual({ count: result.candles.length, is_true: true });
    expect(result.candles.at(-1)?.close).toMatch(/^43000(\.0+)?$/);
  });

  it('writes a price for each asset of a holding, a risk score or a prediction', async () => {
    const rows = await ask(
      `select asset_symbol from (
         select asset_symbol from holdings union select asset_symbol from risk_scores
         union select asset_symbol from predictions union select asset_symbol from transactions
       ) named where not exists (
         select from price_history p where p.asset_symbol = named.asset_symbol)`,
    );
    expect([...rows]).toEqual([]);
  });

  it('writes subscriptions in every status, and each user has the tier of the subscription', async () => {
    const rows = await ask('select distinct status from subscriptions order by status');
    expect(rows.map(({ status }) => status)).toEqual([
      'active',
      'canceled',
      'past_due',
      'trialing',
    ]);
    const odd = await ask(
      `select from subscriptions s join users u on u.id = s.user_id
       where s.status = 'active' and s.tier <> u.tier`,
    );
    expect(odd).toHaveLength(0);
  });

  it('writes transactions that add up to the holdings and are not older than their portfolio', async () => {
    const sums = await ask(
      `select from (select portfolio_id, asset_symbol, sum(quantity) as held from holdings group by 1, 2) h
       full join (
         select portfolio_id, asset_symbol, sum(case
           when transaction_type in ('buy', 'reward') then quantity
           when transaction_type = 'sell' then -quantity else 0 end) as got
         from transactions group by 1, 2
       ) t using (portfolio_id, asset_symbol)
       where coalesce(held, 0) <> coalesce(got, 0)`,
    );
    expect(sums).toHaveLength(0);
    const older = await ask(
      `select from transactions t join portfolios p on p.id = t.portfolio_id
       where t.transaction_date < p.created_at or t.transaction_date > now()`,
    );
    expect(older).toHaveLength(0);
    const types = await ask('select distinct transaction_type from transactions');
    expect(types).toHaveLength(6);
  });

  it('encrypts the invented keys of exchange connections, and stores their last characters', async () => {
    const rows = await ask('select * from exchange_connections');
    const secret = createHash('sha256').update(developmentPassphrase).digest();
    for (const row of rows) {
      const [, vector, tag, text] = String(row.api_key_encrypted)
        .split(':')
        .map((part) => Buffer.from(part, 'base64'));
      const decipher = createDecipheriv('aes-256-gcm', secret, vector ?? '');
      decipher.setAuthTag(tag ?? Buffer.of());
      const key = decipher.update(text ?? Buffer.of()).toString() + decipher.final().toString();
      expect(key).toMatch(/^[A-Za-z0-9]{64}$/);
      expect(row.api_key_last_four).toBe(key.slice(-4));
      expect(row.permissions).toEqual({ read: true, trade: false, withdraw: false });
    }
    expect(rows.map(({ last_sync_status: status }) => status).sort()).toEqual([
      'failed',
      'success',
      'success',
    ]);
  });

  it('writes alerts of every type, with a history of every status', async () => {
    const [row] = await ask(
      `select (select count(distinct alert_type) from alerts)::int as types,
        (select count(distinct notification_status) from alert_history)::int as outcomes,
        (select count(*) from alerts where not is_active)::int as inactive,
        (select count(*) from alerts where is_recurring)::int as recurring,
        (select count(*) from alerts a where last_triggered_at is distinct from (
          select max(triggered_at) from alert_history h where h.alert_id = a.id))::int as odd`,
    );
    expect(row).toMatchObject({ types: 4, outcomes: 3, odd: 0 });
    expect(row?.inactive).toBeGreaterThan(0);
    expect(row?.recurring).toBeGreaterThan(0);
  });

  it('writes an actual value and an accuracy for past predictions only', async () => {
    const rows = await ask(
      `select target_date <= $$${now.toISOString()}$$ as is_past, count(*)::int,
        count(actual_value)::int as actual, count(accuracy_score)::int as accuracy,
        count(distinct (prediction_type, timeframe))::int as kinds,
        bool_and(target_date = prediction_date + timeframe::interval) as is_on_time
       from predictions group by 1 order by 1`,
    );
    const [open, past] = rows;
    expect(open).toMatchObject({
      is_past: false,
      actual: 0,
      accuracy: 0,
      kinds: 9,
      is_on_time: true,
    });
    expect(past).toMatchObject({ is_past: true, kinds: 9, is_on_time: true });
    expect([past?.actual, past?.accuracy]).toEqual([past?.count, past?.count]);
  });

  it('writes sentiment shares that add up to 100', async () => {
    const [row] = await ask(
      `select count(*)::int, bool_and(sentiment_positive + sentiment_negative + sentiment_neutral = 100)
        as is_whole, min(sentiment_neutral) >= 0 as is_fit, string_agg(distinct data_source, ',') as source
       from social_sentiment_history`,
    );
    expect(row).toMatchObject({ is_whole: true, is_fit: true, source: 'synthetic' });
    expect(row?.count).toBeGreaterThan(100);
  });

  it('reports the rows of each table and records each seeder', async () => {
    const rows = await ask(
      'select seeder, seed::int, scale, as_of, rows, by = session_user as is_mine from cryptosense_db.seed_runs order by id',
    );
    expect(rows.map(({ seeder }) => seeder)).toEqual(result.seeders.map(({ name }) => name));
    for (const [index, row] of rows.entries()) {
      const tables = result.seeders[index]?.tables ?? [];
      const written = Object.fromEntries(tables.map(({ table, rows: count }) => [table, count]));
      expect(row).toMatchObject({ seed: 1, scale: 1, as_of: now, rows: written, is_mine: true });
    }
    const counts = await fingerprintCounts();
    for (const { table, rows: count } of result.seeders.flatMap(({ tables }) => tables)) {
      expect({ table, count: counts[table] }).toEqual({ table, count });
    }
  });

  it('leaves the same rows when it runs again, with exactly 1,440 of BTC', async () => {
    const before = await database.withSql((sql) => fingerprint(sql));
    await seeding.dev({ target: database.url, now });
    expect(await database.withSql((sql) => fingerprint(sql))).toEqual(before);
  });

  it('replaces the 1,440 prices and their candles in a run at a later time', async () => {
    const later = new Date(now.getTime() + 5 * 60_000 + 123);
    await seeding.dev({ target: database.url, only: ['prices'], now: later });
    const [row] = await ask(
      `select count(*)::int, max(time) as last from price_history where asset_symbol = 'BTC'`,
    );
    expect(row).toEqual({ count: 1440, last: new Date(later.getTime() - 60_000) });
    await seeding.dev({ target: database.url, only: ['prices'], now });
  });

  it('leaves a view that shows a later price in the candle of its day at once', async () => {
    await database.withSql(
      (sql) => sql`
        insert into price_history (time, asset_symbol, price_usd, data_source)
        values (${now}, 'BTC', 49999, 'coingecko')`,
    );
    const [row] = await ask(
      `select close::float, high::float from price_history_daily
       where asset_symbol = 'BTC' order by day desc limit 1`,
    );
    expect(row).toEqual({ close: 49999, high: 49999 });
    await seeding.dev({ target: database.url, only: ['prices'], now });
    const [left] = await ask(`select count(*)::int from price_history where asset_symbol = 'BTC'`);
    expect(left).toEqual({ count: 1441 });
    await ask(`delete from price_history where data_source = 'coingecko'`);
  });

  it('inserts a deleted seeded user again, with all its dependants', async () => {
    // A trigger says when a row was updated, which a seed cannot.
    const settled = (sql: Sql) => fingerprint(sql, "(to_jsonb(t) - 'updated_at')");
    const before = await database.withSql(settled);
    await ask(`delete from users where email in ('admin@cryptosense.dev', 'pro@cryptosense.dev')`);
    expect(await ask('select from holdings')).toHaveLength(0);
    await seeding.dev({ target: database.url, now });
    expect(await database.withSql(settled)).toEqual(before);
  });

  it('restores changed rows and keeps added rows', async () => {
    await ask(`update users set deleted_at = now(), tier = 'free' where id = '${admin}'`);
    await ask(`insert into portfolios (user_id, name) values ('${admin}', 'My own')`);
    await ask(`update holdings set quantity = 9 where asset_symbol = 'BTC'`);
    await ask(`delete from holdings where asset_symbol = 'ETH'`);
    await ask(
      `insert into holdings (portfolio_id, asset_symbol, quantity, exchange_source)
       values ('${main}', 'ETH', 1, 'coinbase'), ('${main}', 'DOGE', 7, 'manual')`,
    );
    await seeding.dev({ target: database.url, now });
    const [user] = await ask(`select tier, deleted_at from users where id = '${admin}'`);
    expect(user).toEqual({ tier: 'power-trader', deleted_at: null });
    const portfolios = await ask(
      `select name from portfolios where user_id = '${admin}' order by 1`,
    );
    expect(portfolios.map(({ name }) => name)).toEqual(['Main Portfolio', 'My own']);
    const holdings = await ask('select asset_symbol, quantity::float from holdings order by 1');
    expect(holdings.map((row) => Object.values(row))).toEqual([
      ['BTC', 1.5],
      ['DOGE', 7],
      ['ETH', 25],
      ['SOL', 500],
    ]);
  });

  async function fingerprintCounts(): Promise<Readonly<Record<string, number>>> {
    const counts: Record<string, number> = {};
    for (const table of seeded) {
      const [row] = await ask(`select count(*)::int as count from ${table}`);
      counts[table] = row?.count ?? 0;
    }
    return counts;
  }
});

it('two databases get the same rows for one seed and moment, and other rows for another seed', async () => {
  const now = new Date('2026-03-01T12:34:56.789Z');
  const rowsOf = async ({ url, withSql }: TimescaleDatabase, seed: number) => {
    await seeding.dev({ target: url, seed, now });
    return withSql((sql) => fingerprint(sql));
  };
  const first = await rowsOf(await migratedDatabase(), 5);
  const database = await migratedDatabase();
  const second = await rowsOf(database, 5);
  const other = await rowsOf(database, 6);
  // What the columns' defaults fill in is the server's.
  expect(second).toEqual(first);
  expect(other.price_history).not.toBe(first.price_history);
  expect(other.exchange_connections).not.toBe(first.exchange_connections);
  expect(other.risk_scores).toBe(first.risk_scores);
});

describe('--history', () => {
  it('writes hourly prices before those of the seeder, with their candles, and keeps them in the next run', async () => {
    const database = await migratedDatabase();
    const options = { target: database.url, only: ['prices'], now: new Date(), historyDays: 10 };
    await seeding.dev(options);
    const look = () =>
      database.withSql(async (sql) => {
        const [row] = await sql<{ prices: number; assets: number; first: Date; odd: number }[]>`
          select count(*)::int as prices, count(distinct asset_symbol)::int as assets,
            min(time) as first, count(*) filter (where date_trunc('hour', time) <> time)::int as odd
          from price_history where data_source = 'synthetic-history'`;
        const wrong = await sql`
          select from price_history_daily d full join (
            select time_bucket('1 day', time) as day, asset_symbol, max(price_usd) as high
            from price_history group by 1, 2
          ) p using (day, asset_symbol) where d.high is distinct from p.high`;
        return { prices: 0, ...row, wrong: wrong.length };
      });
    const first = await look();
    expect(first).toMatchObject({ assets: 20, odd: 0, wrong: 0 });
    // Nine days of BTC, and three days of each other asset.
    expect(first.prices).toBeGreaterThan(9 * 24 + 19 * 3 * 24 - 20);
    await seeding.dev(options);
    expect(await look()).toEqual(first);
  });

  it('covers the fifty assets of the load set of 10,000 users, which all have a price of today', async () => {
    const database = await migratedDatabase();
    await seeding.dev({
      ...{ target: database.url, only: ['assets', 'prices'], scale: 3_334 },
      ...{ now: new Date(), historyDays: 10 },
    });
    const [row] = await database.withSql(
      (sql) => sql`
        select (select count(*)::int from assets) as listed,
          count(distinct asset_symbol) filter (where data_source = 'synthetic-history')::int as old,
          count(distinct asset_symbol) filter (where time > now() - interval '2 hours')::int as new
        from price_history`,
    );
    expect(row).toEqual({ listed: 50, old: 50, new: 50 });
  });

  it('is refused without the seeder that writes it, and in a dry run', async () => {
    const target = 'postgresql://localhost:1/none';
    for (const part of [{ only: ['users'] }, { dryRun: true }]) {
      await expect(seeding.dev({ target, historyDays: 1, ...part })).rejects.toMatchObject({
        code: 'bad-configuration',
      });
    }
  });
});

describe('seeding for a past moment', () => {
  it('shows the candles of that day, and updates them with later prices', async () => {
    const database = await migratedDatabase();
    const now = new Date('2026-03-01T12:00:00Z');
    const { candles } = await seeding.dev({ target: database.url, now, only: ['prices'] });
    expect(candles.map(({ day }) => day.toISOString().slice(0, 10))).toEqual([
      '2026-02-28',
      '2026-03-01',
    ]);
    const [row] = await database.withSql(async (sql) => {
      await sql`
        insert into price_history (time, asset_symbol, price_usd)
        values ('2026-03-01T13:00:00Z', 'BTC', 50001)`;
      return sql`
        select close::float from price_history_daily
        where asset_symbol = 'BTC' order by day desc limit 1`;
    });
    expect(row).toEqual({ close: 50001 });
  });

  it('shows complete candles when today was materialised before', async () => {
    const database = await migratedDatabase();
    const now = new Date();
    const before = new Date(now.getTime() - 600_000);
    await seeding.dev({ target: database.url, now: before, only: ['prices'] });
    await database.withSql(
      (sql) => sql`call refresh_continuous_aggregate('price_history_daily', null, null)`,
    );
    await seeding.dev({ target: database.url, now, only: ['prices'] });
    const odd = await database.withSql(
      (sql) => sql`
        select from price_history_daily d join (
          select time_bucket('1 day', time) as day, asset_symbol, first(price_usd, time) as open,
            avg(price_usd) as avg_price, sum(volume_24h_usd) as total_volume
          from price_history group by 1, 2
        ) p using (day, asset_symbol)
        where (d.open, d.avg_price, d.total_volume) is distinct from (p.open, p.avg_price, p.total_volume)`,
    );
    expect(odd).toHaveLength(0);
  });

  it('shows the days that were materialised before, and no days without prices', async () => {
    const database = await migratedDatabase();
    const then = new Date('2026-03-01T12:00:00Z');
    await seeding.dev({ target: database.url, now: then, only: ['prices'] });
    await database.withSql(
      (sql) => sql`call refresh_continuous_aggregate('price_history_daily', null, null)`,
    );
    const now = new Date('2026-02-10T12:00:00Z');
    await seeding.dev({ target: database.url, now, only: ['prices'] });
    const rows = await database.withSql(
      (sql) => sql`
        select day, close::float from price_history_daily where asset_symbol = 'BTC' order by day`,
    );
    expect([...rows]).toEqual([
      { day: new Date('2026-02-09T00:00:00Z'), close: expect.any(Number) },
      { day: new Date('2026-02-10T00:00:00Z'), close: 43000 },
    ]);
  });
});

describe('rows that the seeders did not write', () => {
  it('a run keeps candles without prices, and compressed prices of other sources', async () => {
    const database = await migratedDatabase();
    const now = new Date('2026-11-22T12:00:00Z');
    await seeding.dev({
      target: database.url,
      now: new Date('2026-10-10T12:00:00Z'),
      only: ['prices'],
    });
    await database.withSql(async (sql) => {
      await sql`
        insert into price_history (time, asset_symbol, price_usd)
        select '2019-05-01'::timestamptz + n * interval '1 hour', 'BTC', 5000 + n
        from generate_series(0, 47) as n`;
      await sql`
        insert into price_history (time, asset_symbol, price_usd, data_source)
        select '2026-10-09T00:00:30Z'::timestamptz + n * interval '1 minute', 'DOGE', 1, 'coingecko'
        from generate_series(0, 999) as n`;
      await sql`call refresh_continuous_aggregate('price_history_daily', '2019-01-01', '2020-01-01')`;
      await sql`select drop_chunks('price_history', '2020-01-01'::timestamptz)`;
      await sql`select compress_chunk(c) from show_chunks('price_history') c`;
      await sql.unsafe(`do $$ begin execute format(
        'alter database %I set timescaledb.max_tuples_decompressed_per_dml_transaction = 100',
        current_database()); end $$`);
    });
    await seeding.dev({ target: database.url, now, only: ['prices', 'sentiment'] });
    const rows = await database.withSql(
      (sql) => sql`
        select extract(year from day)::int as year, asset_symbol, count(*)::int
        from price_history_daily where asset_symbol in ('BTC', 'DOGE')
        group by 1, 2 order by 1, 2`,
    );
    expect([...rows]).toMatchObject([
      { year: 2019, asset_symbol: 'BTC', count: 2 },
      { year: 2026, asset_symbol: 'BTC', count: 2 },
      { year: 2026, asset_symbol: 'DOGE' },
    ]);
    const [left] = await database.withSql(
      (sql) => sql`select count(*)::int from price_history where data_source = 'coingecko'`,
    );
    expect(left).toEqual({ count: 1_000 });
  });

  it('a run keeps the candles of days that it does not write', async () => {
    const database = await migratedDatabase();
    const only = ['prices'];
    const target = database.url;
    await seeding.dev({ target, only, now: new Date('2025-01-15T12:00:00Z') });
    const now = new Date('2026-11-22T12:00:00Z');
    await seeding.dev({ target, only, now });
    await database.withSql(async (sql) => {
      await sql`
        insert into price_history (time, asset_symbol, price_usd)
        select '2025-06-01'::timestamptz + n * interval '1 day', 'XYZ', 1 from generate_series(0, 29) n`;
      await sql`call refresh_continuous_aggregate('price_history_daily', '2025-06-01', '2025-07-02')`;
      await sql`select drop_chunks('price_history', '2025-07-20'::timestamptz)`;
    });
    await seeding.dev({ target, only, now });
    const rows = await database.withSql(
      (sql) => sql`select from price_history_daily where asset_symbol = 'XYZ'`,
    );
    expect(rows).toHaveLength(30);
  });

  it('a run keeps prices in the view that were written before the first run', async () => {
    const database = await migratedDatabase();
    await database.withSql(
      (sql) => sql`
        insert into price_history (time, asset_symbol, price_usd)
        select '2026-05-01'::timestamptz + n * interval '1 day', 'XYZ', 1 from generate_series(0, 9) n`,
    );
    await mark({ target: database.url, environment: 'dev' });
    const now = new Date('2026-11-22T12:00:00Z');
    await seeding.dev({ target: database.url, only: ['prices'], now });
    const rows = await database.withSql(
      (sql) => sql`select from price_history_daily where asset_symbol = 'XYZ'`,
    );
    expect(rows).toHaveLength(10);
  });

  it("a run keeps another row with the key of a seeded row, and reports the seeders' row that it leaves out", async () => {
    const database = await migratedDatabase();
    const target = database.url;
    const now = new Date();
    await seeding.dev({ target, now });
    await database.withSql((sql) =>
      sql.unsafe(`
        update subscriptions set status = 'canceled' where user_id = '${admin}' and status = 'active';
        insert into subscriptions (user_id, tier, status) values ('${admin}', 'pro', 'active');
        delete from assets where coingecko_id = 'solana';
        insert into assets (coingecko_id, symbol, name) values ('solana', 'SOL', 'Ours');
        create temp table one as select * from predictions limit 1;
        delete from predictions where id = (select id from one);
        update one set id = gen_random_uuid(), model_version = 'ours';
        insert into predictions select * from one;
        update users set email = 'swap@example.com' where id = '${pro}';
        update users set email = 'pro@cryptosense.dev' where id = '${free}';
        update users set email = 'free@cryptosense.dev' where id = '${pro}';`),
    );
    const { seeders } = await seeding.dev({ target, now });
    expect(seeders.flatMap(({ notes }) => notes)).toEqual([
      expect.stringContaining('log in as'),
      '1 rows of subscriptions left out: other rows already have their place',
      '1 rows of assets left out: other rows already have their place',
      '1 rows of predictions left out: other rows already have their place',
    ]);
    const [row] = await database.withSql(
      (sql) => sql`
        select (select tier from subscriptions where user_id = ${admin} and status = 'active') as tier,
          (select name from assets where coingecko_id = 'solana') as asset,
          (select count(*)::int from predictions where model_version = 'ours') as predictions,
          (select email from users where id = ${pro}) as email`,
    );
    expect(row).toEqual({
      tier: 'pro',
      asset: 'Ours',
      predictions: 1,
      email: 'pro@cryptosense.dev',
    });
  });

  it('a run fails when a user has an address of the seeders', async () => {
    const database = await migratedDatabase({ environment: 'dev' });
    await database.withSql(
      (sql) => sql`insert into users (email, password_hash) values ('pro@cryptosense.dev', 'x')`,
    );
    await expect(seeding.dev({ target: database.url })).rejects.toMatchObject({
      code: 'seed-failed',
      details: { seeder: '01_users', constraint: 'unique_user_email' },
    });
  });

  it('a run refuses a role that does not own the view, before it writes', async (context) => {
    const server = inject('timescaleUrl');
    if (!server) return context.skip('the embedded engine has one role');
    const database = await migratedDatabase({ environment: 'dev' });
    const role = await createScratchRole(server);
    onTestFinished(() => role.drop());
    onTestFinished(() => database.drop());
    await database.withSql((sql) =>
      sql.unsafe(`
        grant usage, create on schema cryptosense_db to ${role.name};
        grant all on all tables in schema cryptosense_db, public to ${role.name};`),
    );
    const target = role.urlOf(database.url);
    await expect(seeding.dev({ target, only: ['prices'] })).rejects.toThrow(
      'price_history_daily has to be refreshed, and only its owner may do it',
    );
    expect(await database.withSql((sql) => sql`select from price_history`)).toHaveLength(0);

    const { seeders } = await seeding.dev({ target, only: ['users'] });
    expect(seeders[0]?.notes).toContainEqual(
      expect.stringMatching(/^users has no new statistics: only .* may analyze it$/),
    );
  });
});

describe('--only', () => {
  it('uses the seed, scale and moment of the last run', async () => {
    const database = await migratedDatabase();
    const target = database.url;
    const now = new Date('2026-10-20T12:00:00Z');
    await seeding.dev({ target, now, seed: 3, scale: 3 });
    const before = await database.withSql((sql) => fingerprint(sql));
    const part = await seeding.dev({ target, only: ['users', 'portfolios', 'prices'] });
    expect(part).toMatchObject({ seed: 3, scale: 3, now });
    expect(await database.withSql((sql) => fingerprint(sql))).toEqual(before);
  });

  it('reports the rows that a smaller scale deletes', async () => {
    const database = await migratedDatabase();
    const target = database.url;
    await seeding.dev({ target, scale: 4, only: ['users', 'portfolios'] });
    const { seeders } = await seeding.dev({ target, scale: 2, only: ['users'] });
    expect(seeders[0]?.notes).toContain('6 rows of users deleted, with their dependants');
  });
});

describe('the development data', () => {
  it('has no contradictions between the tables that an application joins', async () => {
    const database = await migratedDatabase();
    await seeding.dev({ target: database.url, scale: 10, seed: 7 });
    const odd = await database.withSql((sql) =>
      sql.unsafe(`
        select 'a connection older than its portfolio' as fact from exchange_connections c
          join portfolios p on p.id = c.portfolio_id where c.created_at < p.created_at
        union all select 'a holding of another portfolio''s connection' from holdings h
          join exchange_connections c on c.id = h.exchange_connection_id
          where c.portfolio_id <> h.portfolio_id
        union all select 'a holding of another exchange' from holdings h
          join exchange_connections c on c.id = h.exchange_connection_id
          where c.exchange_name <> h.exchange_source
        union all select 'a period of another length' from subscriptions
          where status <> 'trialing' and billing_interval is not null
            and current_period_end - current_period_start
              <> case billing_interval when 'monthly' then interval '30 days' else interval '365 days' end
        union all select 'an active plan that is over' from subscriptions
          where status = 'active' and current_period_end < now()
        union all select 'a canceled plan that is to come' from subscriptions
          where status = 'canceled' and (canceled_at > now() or updated_at < canceled_at)
        union all select 'a free user on trial' from subscriptions s join users u on u.id = s.user_id
          where s.status = 'trialing' and u.tier = 'free'
        union all select 'a prediction beside the candle of its day' from predictions p
          join price_history_daily d on d.asset_symbol = p.asset_symbol
            and d.day = date_trunc('day', p.target_date, 'UTC')
          where p.prediction_type = 'price' and p.actual_value is not null
            and p.asset_symbol <> 'BTC'
            and d.day > now() - interval '6 days' and d.day < now() - interval '1 day'
            and p.actual_value not between d.low and d.high
        union all select 'an SMS refused by SMTP' from alert_history
          where notification_channel <> 'email' and error_message like 'SMTP%'
        union all select 'nothing held' from holdings where quantity = 0`),
    );
    expect([...odd]).toEqual([]);
  });
});

it('writes more rows into a folder of the embedded engine than one COPY holds', async () => {
  const database = await createFolderDatabase('empty');
  onTestFinished(database.drop);
  const options = { target: database.url, ...coinsSchema() };
  await migrate.up(options);
  const seeds = writeSeeders({
    dev: {
      '01_coins': `
        const id = (n) => '00000000-0000-4000-8000-' + String(n).padStart(12, '0');
        const rows = Array.from({ length: 12_000 }, (_, n) => ({ id: id(n), name: 'coin ' + n, amount: 1 }));
        await load('coins', { rows, total: rows.length });`,
    },
  });
  const { seeders } = await seeding.dev({ ...options, seeds });
  expect(seeders).toMatchObject([{ tables: [{ table: 'coins', rows: 12_000 }] }]);
  expect(await database.withSql((sql) => sql`select from coins`)).toHaveLength(12_000);
});

describe('--scale', () => {
  it('multiplies users and their dependants, and a smaller scale removes them again', async () => {
    const database = await migratedDatabase();
    const now = new Date();
    const { seeders } = await seeding.dev({ target: database.url, now, scale: 4 });
    const rowsOf = (name: string) =>
      seeders.find((seeder) => seeder.name.endsWith(name))?.tables[0]?.rows;
    expect(rowsOf('users')).toBe(12);
    expect(rowsOf('portfolios')).toBe(2 + 9 * 5);
    expect(rowsOf('holdings')).toBe(3 + 9 * 100);
    expect(rowsOf('transactions')).toBe(18 + 9 * 100);
    const [row] = await database.withSql(
      (sql) => sql`
        select (select count(*) from users)::int as users,
          (select count(*) from holdings)::int as holdings,
          (select count(*) from price_history where asset_symbol = 'BTC')::int as bitcoin,
          (select count(*) from holdings h where exists (
            select from price_history p where p.asset_symbol = h.asset_symbol))::int as priced`,
    );
    expect(row).toEqual({ users: 12, holdings: 903, bitcoin: 1440, priced: 903 });

    await seeding.dev({ target: database.url, now, scale: 2 });
    const [fewer] = await database.withSql(
      (sql) => sql`
        select (select count(*) from users)::int as users,
          (select count(*) from transactions)::int as transactions`,
    );
    expect(fewer).toEqual({ users: 6, transactions: 18 + 3 * 100 });
  });

  it.each([0, -1, 1.5, Number.NaN, 5_000_001])('refuses the scale %s', async (scale) => {
    await expect(
      seeding.dev({ target: 'postgresql://nobody@127.0.0.1:1/x', scale }),
    ).rejects.toMatchObject({ code: 'bad-configuration' });
  });
});

describe('a run at the scale of the run before', () => {
  const scale = 8;
  const later = new Date('2026-03-02T00:00:00Z');
  const large = ['holdings', 'transactions'] as const;
  const written = [
    'users',
    'portfolios',
    'exchange_connections',
    'transactions',
    'alerts',
  ] as const;
  let database: TimescaleDatabase;

  beforeAll(async () => {
    database = await createMigratedDatabase();
    await seeding.dev({ target: database.url, scale, now: new Date('2026-03-01T00:00:00Z') });
  });
  afterAll(() => database?.drop());

  const sizeOf = (table: string) =>
    database.withSql(async (sql) => {
      const [row] = await sql<[{ bytes: number }]>`
        select pg_total_relation_size(${table}::regclass)::float8 as bytes`;
      return row.bytes;
    });
  /** The transactions that wrote the rows. */
  const writersOf = (table: string) =>
    database.withSql((sql) =>
      sql.unsafe(`select xmin::text as writer, count(*)::int from ${table} group by 1 order by 1`),
    );

  it('does not leave tables twice as large, although each row has other times', async () => {
    const before = [];
    for (const table of large) before.push(await sizeOf(table));
    const { seeders } = await seeding.dev({ target: database.url, scale, now: later });
    const notes = seeders.flatMap((seeder) => seeder.notes);
    for (const [index, table] of large.entries()) {
      // A job of the server can have the table, or see its old rows; the run says so.
      if (notes.some((note) => note.startsWith(`${table} is in use`))) continue;
      expect(await sizeOf(table), table).toBeLessThan(1.2 * (before[index] ?? 0));
    }
  });

  it('writes no row of these tables again for the same moment', async () => {
    const before = [];
    for (const table of written) before.push([...(await writersOf(table))]);
    await seeding.dev({ target: database.url, scale, now: later });
    for (const [index, table] of written.entries()) {
      expect([...(await writersOf(table))], table).toEqual(before[index]);
    }
  });

  it('leaves statistics of each table that has rows', async () => {
    const rows = await database.withSql(
      (sql) => sql<{ name: string }[]>`
        select distinct tablename as name from pg_stats where schemaname = 'public' order by 1`,
    );
    expect(rows.map(({ name }) => name)).toEqual(expect.arrayContaining([...seeded]));
  });
});

describe('--dry-run', () => {
  it('runs every seeder and writes no row, no mark, no record and no statistics', async () => {
    const database = await migratedDatabase();
    const { seeders, isDryRun } = await seeding.dev({ target: database.url, dryRun: true });
    expect(isDryRun).toBe(true);
    expect(seeders).toHaveLength(13);
    const [row] = await database.withSql(
      (sql) => sql`
        select (select count(*) from users)::int + (select count(*) from price_history)::int as rows,
          (select count(*) from cryptosense_db.seed_runs)::int as records,
          (select count(*) from cryptosense_db.environment)::int as marks,
          (select count(*) from pg_stats where schemaname = 'public')::int as statistics`,
    );
    expect(row).toEqual({ rows: 0, records: 0, marks: 0, statistics: 0 });
  });
});
