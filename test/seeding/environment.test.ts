import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { drop, mark } from '../../src/databases/lifecycle.ts';
import * as migrate from '../../src/migrations/migrate.ts';
import { isError } from '../../src/runtime/errors.ts';
import * as seeding from '../../src/seeding/seed.ts';
import { scratchDatabase } from '../support/recovery.ts';
import { createMigratedDatabase, type TimescaleDatabase } from '../support/schema-database.ts';
import { coinsSchema, writeSeeders } from '../support/seeding.ts';

const offline = { offline: true, top: 3 } as const;

describe('the environment of a database', () => {
  let database: TimescaleDatabase;
  beforeAll(async () => {
    database = await createMigratedDatabase();
  });
  afterAll(() => database?.drop());

  /** Leaves no row and no mark of the test before. */
  beforeEach(() =>
    database.withSql((sql) =>
      sql.unsafe(`
        truncate users, assets, price_history cascade;
        -- The triggers that keep the record append-only do not fire for a replica.
        set session_replication_role = replica;
        truncate cryptosense_db.environment, cryptosense_db.seed_runs, cryptosense_db.seed_afterwards;
        reset session_replication_role`),
    ),
  );

  it('is set by the first seeding and does not change', async () => {
    const seeded = await seeding.dev({ target: database.url, only: ['users', 'assets'] });
    expect(seeded.environment).toBe('dev');
    expect((await migrate.status({ target: database.url })).environment).toBe('dev');
    await expect(seeding.production({ target: database.url, ...offline })).rejects.toMatchObject({
      code: 'environment-refused',
      details: { environment: 'dev' },
    });
    const assets = await database.withSql((sql) => sql`select distinct image_url from assets`);
    expect(assets).toHaveLength(1);
  });

  it('refuses development data for production and changes nothing', async () => {
    await seeding.production({ target: database.url, ...offline });
    const attempts = [{}, { dryRun: true }, { only: ['prices'] }, { scale: 2 }, { force: 'yes' }];
    for (const attempt of attempts) {
      await expect(seeding.dev({ target: database.url, ...attempt })).rejects.toMatchObject({
        code: 'environment-refused',
        details: { environment: 'production' },
      });
    }
    const left = await database.withSql(
      (sql) => sql`
        select (select count(*) from users)::int as users,
          (select count(*) from price_history)::int as prices,
          (select count(*) from assets)::int as assets`,
    );
    expect(left).toEqual([{ users: 0, prices: 0, assets: 3 }]);
  });

  it('counts the candles of prices that were dropped', async () => {
    const rows = await database.withSql(async (sql) => {
      await sql`insert into price_history (time, asset_symbol, price_usd) values (now() - interval '40 days', 'BTC', 1)`;
      await sql`call refresh_continuous_aggregate('price_history_daily', null, now() - interval '2 days')`;
      await sql`select drop_chunks('price_history', now())`;
      return sql`select from price_history`;
    });
    expect(rows).toHaveLength(0);
    await expect(drop({ target: database.url })).rejects.toMatchObject({
      code: 'environment-refused',
      problems: [{ evidence: ['there are rows in price_history_daily'] }],
    });
    await database.withSql(
      (sql) =>
        sql`call refresh_continuous_aggregate('price_history_daily', null, now() - interval '2 days')`,
    );
  });

  it('accepts development data for test and refuses production data', async () => {
    await migrate.up({ target: database.url, environment: 'test' });
    const { environment } = await seeding.dev({ target: database.url, only: ['users'] });
    expect(environment).toBe('test');
    await expect(seeding.production({ target: database.url, ...offline })).rejects.toMatchObject({
      code: 'environment-refused',
    });
  });

  it('accepts production data for staging and refuses development data', async () => {
    await migrate.up({ target: database.url, environment: 'staging' });
    await expect(seeding.dev({ target: database.url })).rejects.toMatchObject({
      code: 'environment-refused',
      details: { environment: 'staging' },
    });
    const { environment } = await seeding.production({ target: database.url, ...offline });
    expect(environment).toBe('staging');
  });

  it('refuses development data when an unmarked database has users', async () => {
    await database.withSql(
      (sql) => sql`insert into users (email, password_hash) values ('a@example.org', 'x')`,
    );
    const refused = await seeding.dev({ target: database.url }).catch((error: unknown) => error);
    expect(isError(refused, 'environment-refused') && refused.problems).toMatchObject([
      {
        message: expect.stringContaining('is not marked'),
        evidence: ['there are rows in users'],
        hint: expect.stringContaining('db mark dev'),
      },
    ]);
    await mark({ target: database.url, environment: 'dev' });
    await seeding.dev({ target: database.url, only: ['users'] });
    const rows = await database.withSql((sql) => sql`select from users`);
    expect(rows).toHaveLength(4);
  });

  it.each([
    ["insert into users (email, password_hash) values ('admin@cryptosense.dev', 'x')", 'users of'],
    [
      `insert into price_history (time, asset_symbol, price_usd, data_source)
       values (now(), 'BTC', 1, 'synthetic')`,
      'synthetic prices',
    ],
  ])(
    'refuses production data when an unmarked database has rows from %s',
    async (statement, fact) => {
      await database.withSql((sql) => sql.unsafe(statement));
      const refused = seeding.production({ target: database.url, ...offline });
      await expect(refused).rejects.toMatchObject({ code: 'environment-refused' });
      await expect(refused).rejects.toThrow(fact);
      expect((await migrate.status({ target: database.url })).environment).toBeUndefined();
    },
  );

  it.each([
    [`update users set email = id || '@example.com'; delete from assets`, 'users of'],
    ['delete from users', 'assets of'],
  ])(
    'refuses production data when an unmarked database has seeded rows after %s',
    async (change, fact) => {
      await seeding.dev({ target: database.url, scale: 2, only: ['users', 'assets'] });
      await database.withSql((sql) =>
        sql.unsafe(`${change}; delete from cryptosense_db.environment`),
      );
      await expect(seeding.production({ target: database.url, ...offline })).rejects.toThrow(
        `there are ${fact} the development data`,
      );
    },
  );

  it('accepts production data when an unmarked database has customers', async () => {
    await database.withSql(
      (sql) => sql`
        insert into users (id, email, password_hash)
        values ('5eed4c3a-93b1-4d2e-8a77-0f1e2d3c4b5a', 'jane@cryptosense.dev', 'x')`,
    );
    const { environment } = await seeding.production({ target: database.url, ...offline });
    expect(environment).toBe('production');
  });

  it('is checked before the request to CoinGecko', async () => {
    await migrate.up({ target: database.url, environment: 'dev' });
    const baseUrl = 'http://127.0.0.1:1/api/v3';
    await expect(seeding.production({ target: database.url, baseUrl })).rejects.toMatchObject({
      code: 'environment-refused',
    });
  });
});

describe('a database that lacks migrations', () => {
  it('is refused with a hint to migrate, and gets no mark', async () => {
    const database = await scratchDatabase();
    const folders = coinsSchema();
    const seeds = writeSeeders({
      dev: { '01_coins': '' },
      production: { '01_coins': '' },
    });
    const options = { target: database.url, seeds, ...folders };
    const attempts = [
      () => seeding.dev(options),
      () => seeding.production({ ...options, ...offline }),
    ];
    for (const attempt of attempts) {
      await expect(attempt()).rejects.toMatchObject({
        code: 'pending-migrations',
        problems: [{ hint: 'cryptosense-db migrate up' }],
      });
    }
    await migrate.up(options);
    expect((await seeding.dev(options)).environment).toBe('dev');
  });
});
