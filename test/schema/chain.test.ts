import { readdirSync } from 'node:fs';
import type { Sql } from 'postgres';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { readCatalog } from '../../src/schema/catalog.ts';
import { runCli } from '../support/cli.ts';
import { connect } from '../support/databases.ts';
import { createTimescaleDatabase, type TimescaleDatabase } from '../support/schema-database.ts';

const total = readdirSync('migrations').length;
let database: TimescaleDatabase;

beforeEach(async () => {
  database = await createTimescaleDatabase();
});

afterEach(() => database?.drop());

async function migrate(...args: readonly string[]) {
  const result = await runCli(['migrate', ...args, '--url', database.url, '--json']);
  expect(result, result.stdout).toMatchObject({ code: 0, stderr: '' });
  return JSON.parse(result.stdout);
}

/** On a backend of its own each time: one that saw the extension go cannot use the next one. */
async function look<T>(use: (sql: Sql) => Promise<T>): Promise<T> {
  if (database.engine === 'embedded') return database.withSql(use);
  const sql = connect(database.url, 1);
  try {
    return await use(sql);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

/** Every object there is but PostgreSQL's own and the tool's ledger: TimescaleDB's are counted in. */
async function listObjects(sql: Sql): Promise<readonly string[]> {
  const rows = await sql<{ name: string }[]>`
    with schemas as (
      select oid, nspname from pg_namespace
      where nspname not in ('pg_catalog', 'information_schema', 'pg_toast', 'cryptosense_db')
        and nspname not like 'pg\\_%temp\\_%'
    )
    select 'schema ' || nspname as name from schemas
    union all select 'relation ' || nspname || '.' || relname
      from pg_class join schemas on relnamespace = schemas.oid
    union all select 'function ' || nspname || '.' || proname || '/' || pronargs
      from pg_proc join schemas on pronamespace = schemas.oid
    union all select 'type ' || nspname || '.' || typname
      from pg_type join schemas on typnamespace = schemas.oid
    union all select 'extension ' || extname || coalesce(': ' || obj_description(oid), '')
      from pg_extension
    union all select 'event trigger ' || evtname from pg_event_trigger
    order by 1`;
  return rows.map(({ name }) => name);
}

describe(`the whole schema on ${inject('timescaleUrl') ? 'a server' : 'the embedded engine'}`, () => {
  it.each([
    ['a transaction each', []],
    ['one transaction', ['--single-transaction']],
  ])(
    'goes up, down and up again, in %s, and leaves nothing behind',
    { timeout: 240_000 },
    async (_, how) => {
      const before = await look(listObjects);

      expect((await migrate('up', ...how)).steps).toHaveLength(total);
      const first = await look(readCatalog);
      expect(await migrate('status')).toMatchObject({ isCurrent: true });
      expect((await migrate('up')).steps).toEqual([]);

      expect(await migrate('down', '--all')).toMatchObject({
        applied: 0,
        pending: { length: total },
      });
      expect(await look(listObjects)).toEqual(before);
      expect((await migrate('down', '--all')).steps).toEqual([]);

      expect((await migrate('up', ...how)).steps).toHaveLength(total);
      expect(await look(readCatalog)).toEqual(first);

      expect((await migrate('down', '--all')).steps).toHaveLength(total);
      expect(await look(listObjects)).toEqual(before);
    },
  );

  // A process of the embedded engine takes seconds to start: there, several steps at a time.
  const stride = inject('timescaleUrl') ? 1 : 5;

  it(`is the same at each level up, after a redo and down again, ${stride} at a time`, {
    timeout: 600_000,
  }, async () => {
    const before = await look(listObjects);
    const levels = [];
    for (let applied = stride; applied <= total; applied += stride) {
      expect(await migrate('up', '--steps', String(stride))).toMatchObject({ applied });
      const level = await look(readCatalog);
      const redone = await migrate('redo', '--steps', String(stride));
      expect(redone).toMatchObject({ applied, steps: { length: 2 * stride } });
      expect(await look(readCatalog), `after redo at ${applied}`).toEqual(level);
      levels.push(level);
    }
    expect(levels).toHaveLength(total / stride);
    for (const [below, level] of levels.slice(0, -1).entries()) {
      expect(level, `level ${below}`).not.toEqual(levels[below + 1]);
    }
    for (const level of levels.slice(0, -1).reverse()) {
      await migrate('down', '--steps', String(stride));
      expect(await look(readCatalog)).toEqual(level);
    }
    await migrate('down', '--steps', String(stride));
    expect(await look(listObjects)).toEqual(before);
  });

  it('is rolled back and applied again in one redo of all', { timeout: 120_000 }, async () => {
    await migrate('up');
    const first = await look(readCatalog);
    expect((await migrate('redo', '--steps', String(total))).steps).toHaveLength(2 * total);
    expect(await look(readCatalog)).toEqual(first);
  });

  it('goes with the data in it', { timeout: 120_000 }, async () => {
    const before = await look(listObjects);
    await migrate('up');
    await look(
      (sql) => sql`
        insert into price_history (time, asset_symbol, price_usd)
        select now() - i * interval '1 hour', 'BTC', 60000 + i from generate_series(1, 500) i`,
    );
    await migrate('down', '--all');
    expect(await look(listObjects)).toEqual(before);
  });

  it("leaves extensions that were there before, someone else's table in them, and its rows", {
    timeout: 120_000,
  }, async () => {
    await look(async (sql) => {
      await sql.unsafe('create extension if not exists timescaledb');
      await sql.unsafe('create extension if not exists pgcrypto');
      await sql.unsafe('create table telemetry (time timestamptz not null, value int)');
      await sql.unsafe("select create_hypertable('telemetry', 'time')");
      await sql.unsafe('insert into telemetry values (now(), 1)');
    });
    const before = await look(listObjects);
    await migrate('up');
    await migrate('down', '--all');
    expect(await look(listObjects)).toEqual(before);
    expect(await look((sql) => sql`select value from telemetry`)).toMatchObject([{ value: 1 }]);
  });

  it('leaves extensions that it created itself while something else uses them', {
    timeout: 120_000,
  }, async () => {
    const before = await look(readExtensions);
    await migrate('up');
    await look(async (sql) => {
      await sql.unsafe('create table telemetry (time timestamptz not null, value int)');
      await sql.unsafe("select create_hypertable('telemetry', 'time')");
      await sql.unsafe("create view fingerprints as select digest('x', 'sha256') as value");
    });
    await migrate('down', '--all');
    expect(await look(readExtensions)).toEqual(
      [...new Set([...before, 'pgcrypto', 'timescaledb'])].sort(),
    );
    expect(
      await look((sql) => sql`select hypertable_name from timescaledb_information.hypertables`),
    ).toMatchObject([{ hypertable_name: 'telemetry' }]);
    await migrate('up');
    expect(await migrate('status')).toMatchObject({ isCurrent: true });
  });
});

async function readExtensions(sql: Sql): Promise<readonly string[]> {
  const rows = await sql<{ name: string }[]>`select extname as name from pg_extension order by 1`;
  return rows.map(({ name }) => name);
}
