import { describe, expect, it } from 'vitest';
import * as database from '../../src/databases/lifecycle.ts';
import * as migrate from '../../src/migrations/migrate.ts';
import { connect } from '../support/databases.ts';
import { fixture, type Pairs, writePairs } from '../support/fixtures.ts';
import { recordedVersions, scratchDatabase, until } from '../support/recovery.ts';
import { createTimescaleDatabase } from '../support/schema-database.ts';

const base = '20260101_000100';

/** Migrations after the base, by their names; no test rolls back. */
function written(first: string, changes: Readonly<Record<string, string>>) {
  const pairs: Pairs = Object.fromEntries(
    Object.entries({ base: first, ...changes }).map(([name, up], index) => [
      `20260101_000${index + 1}00_${name}`,
      [up, 'SELECT 1;\n'],
    ]),
  );
  return writePairs(pairs);
}

/** The locks of a step, as `table: mode`, and what it rewrote. */
function shortOf({ description, lockSight, locks, rewritten }: migrate.MeasuredStep) {
  return {
    description,
    lockSight,
    locks: locks.map(({ table, mode, chunks, partitions }) =>
      [`${table}: ${mode}`, chunks && `${chunks} chunks`, partitions && `${partitions} partitions`]
        .filter(Boolean)
        .join(', '),
    ),
    rewritten: rewritten.map(({ table }) => table),
  };
}

const tables = `
CREATE TABLE accounts (id int PRIMARY KEY);
CREATE TABLE orders (id int PRIMARY KEY, account int, amount int);
CREATE TABLE old (id int);
CREATE TABLE events (at int) PARTITION BY RANGE (at);
CREATE TABLE events_a PARTITION OF events FOR VALUES FROM (0) TO (10);
CREATE TABLE events_b PARTITION OF events FOR VALUES FROM (10) TO (20);
CREATE VIEW large AS SELECT id FROM orders WHERE amount > 10;
INSERT INTO accounts SELECT generate_series(1, 100);
INSERT INTO orders SELECT n, 1 + n % 100, n FROM generate_series(1, 20000) n;
ANALYZE orders;
`;

describe('migrate plan', () => {
  it('says which tables a migration locks and rewrites, and leaves it applied in the copy', async () => {
    const copy = await scratchDatabase();
    const folders = written(tables, {
      volatile: 'ALTER TABLE orders ADD COLUMN token uuid DEFAULT gen_random_uuid();\n',
      plain: "ALTER TABLE orders ADD COLUMN note text DEFAULT 'none';\n",
      index: 'CREATE INDEX orders_account ON orders (account);\n',
      key: 'ALTER TABLE orders ADD CONSTRAINT fk FOREIGN KEY (account) REFERENCES accounts NOT VALID;\n',
      validate: 'ALTER TABLE orders VALIDATE CONSTRAINT fk;\n',
      data: 'UPDATE accounts SET id = id WHERE id < 5;\n',
      others:
        'CREATE TABLE fresh (id int); ALTER TABLE fresh ADD b text DEFAULT random()::text;\n' +
        'DROP TABLE old; CREATE OR REPLACE VIEW large AS SELECT id FROM orders;\n',
      partitions: 'ALTER TABLE events ALTER COLUMN at SET NOT NULL;\n',
    });
    await migrate.up({ target: copy.url, ...folders, to: base, environment: 'test' });
    const result = await migrate.plan({ target: copy.url, ...folders });

    expect(result.steps.map(shortOf)).toEqual(
      [
        { description: 'volatile', locks: ['orders: AccessExclusiveLock'], rewritten: ['orders'] },
        { description: 'plain', locks: ['orders: AccessExclusiveLock'] },
        { description: 'index', locks: ['orders: ShareLock'] },
        {
          description: 'key',
          locks: ['accounts: ShareRowExclusiveLock', 'orders: ShareRowExclusiveLock'],
        },
        {
          description: 'validate',
          locks: ['orders: ShareUpdateExclusiveLock', 'accounts: RowShareLock'],
        },
        { description: 'data', locks: ['accounts: RowExclusiveLock'] },
        {
          description: 'others',
          locks: [
            'large: AccessExclusiveLock',
            'old: AccessExclusiveLock',
            'orders: AccessShareLock',
          ],
        },
        {
          description: 'partitions',
          locks: ['events: AccessExclusiveLock, 2 partitions'],
        },
      ].map((step) => ({ lockSight: 'all', rewritten: [], ...step })),
    );
    const [volatile] = result.steps;
    expect(volatile?.rewritten[0]).toMatchObject({ schema: 'public', estimatedRows: 20_000 });
    expect(volatile?.rewritten[0]?.bytes).toBeGreaterThan(1_000_000);
    expect(volatile?.walBytes).toBeGreaterThan(1_000_000);
    expect(volatile?.durationMs).toBeGreaterThan(0);

    expect(result).toMatchObject({ database: copy.name, environment: 'test', applied: 9 });
    expect((await migrate.status({ target: copy.url, ...folders })).isCurrent).toBe(true);
    expect(await migrate.plan({ target: copy.url, ...folders })).toMatchObject({ steps: [] });
  });

  it('looks with a second session at the locks of a statement that runs alone', async () => {
    const copy = await scratchDatabase();
    const folders = written(tables, {
      index: '-- Transaction: none\nCREATE INDEX CONCURRENTLY by_account ON orders (account);\n',
    });
    await migrate.up({ target: copy.url, ...folders, to: base, environment: 'dev' });
    // The build waits for a transaction that has written to the table.
    const writer = connect(copy.url, 1);
    await writer.unsafe('begin; insert into orders values (0, 1, 1)');
    const planned = migrate.plan({ target: copy.url, ...folders });
    await until('the build waits', async () => {
      const [found] = await copy.sql`
        select from pg_stat_activity a join pg_locks l using (pid)
        where a.query like 'CREATE INDEX CONCURRENTLY%' and not l.granted`;
      return found;
    });
    const [{ now }] = await copy.sql<[{ now: string }]>`select clock_timestamp()::text as now`;
    await until('a look at its locks', async () => {
      const [found] = await copy.sql`
        select from pg_stat_activity
        where application_name = 'cryptosense-db' and query like '%from pg_locks%'
          and query_start > ${now}::text::timestamptz`;
      return found;
    });
    await writer.end();
    const { steps } = await planned;
    expect(steps.map(shortOf)).toEqual([
      {
        description: 'index',
        lockSight: 'sampled',
        locks: ['orders: ShareUpdateExclusiveLock'],
        rewritten: [],
      },
    ]);
  });

  it('counts the chunks of a hypertable, and not each as a table', async () => {
    const copy = await createTimescaleDatabase({ embeddedAs: 'folder' });
    try {
      const folders = written(
        `CREATE EXTENSION IF NOT EXISTS timescaledb;
        CREATE TABLE prices (time timestamptz NOT NULL, symbol text, price int);
        SELECT create_hypertable('prices', 'time', chunk_time_interval => interval '1 day');
        INSERT INTO prices SELECT '2026-01-01Z'::timestamptz + n * interval '1 hour', 'BTC', n
        FROM generate_series(0, 95) n;\n`,
        {
          type: 'ALTER TABLE prices ALTER COLUMN price TYPE bigint;\n',
          compress: `ALTER TABLE prices SET (timescaledb.compress, timescaledb.compress_segmentby = 'symbol');
            SELECT compress_chunk(c) FROM (SELECT show_chunks('prices') c LIMIT 2) chunks;\n`,
          column: 'ALTER TABLE prices ADD COLUMN source text;\n',
          alone: '-- Transaction: none\nVACUUM prices;\n',
        },
      );
      await migrate.up({ target: copy.url, ...folders, to: base, environment: 'test' });
      const { steps } = await migrate.plan({ target: copy.url, ...folders });
      const [type, compress, column, alone] = steps.map(shortOf);
      expect(type).toMatchObject({
        locks: ['prices: AccessExclusiveLock, 4 chunks'],
        rewritten: ['prices'],
      });
      expect(steps[0]?.rewritten[0]).toMatchObject({ schema: 'public', chunks: 4 });
      expect(compress?.locks).toHaveLength(1);
      expect(column?.locks).toEqual(['prices: AccessExclusiveLock, 4 chunks']);
      expect(alone?.lockSight).toBe(copy.engine === 'server' ? 'sampled' : 'in part');
    } finally {
      await copy.drop();
    }
  });

  it('refuses a database that is not marked as one that may be lost', async () => {
    const folders = fixture('recovery-chain');
    const { url, name, sql } = await scratchDatabase();
    const plan = () => migrate.plan({ target: url, ...folders });
    const refusal = (environment: string | undefined) => ({
      code: 'environment-refused',
      details: { environment },
    });
    await expect(plan()).rejects.toMatchObject(refusal(undefined));
    for (const environment of ['staging', 'production'] as const) {
      await database.mark({ target: url, environment, force: name });
      await expect(plan()).rejects.toMatchObject(refusal(environment));
    }
    expect(await recordedVersions(sql)).toEqual([]);
  });
});
