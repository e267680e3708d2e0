import { readdirSync } from 'node:fs';
import type { Sql } from 'postgres';
import { afterEach, describe, expect, inject, it, onTestFinished } from 'vitest';
import * as migrate from '../../src/migrations/migrate.ts';
import { verify } from '../../src/schema/schema.ts';
import { readCatalog } from '../support/catalog.ts';
import { connect } from '../support/databases.ts';
import {
  createFolderDatabase,
  createMigratedDatabase,
  createTimescaleDatabase,
  type TimescaleDatabase,
} from '../support/schema-database.ts';

const total = readdirSync('migrations').filter((name) => name.endsWith('.sql')).length;
/** Later migrations build and drop indexes without a transaction. */
const tablesEnd = '20251008_120300';
let database: TimescaleDatabase;

afterEach(() => database?.drop());

const up = (options: Omit<migrate.UpOptions, 'target'> = {}) =>
  migrate.up({ target: database.url, ...options });
const down = (options: Omit<migrate.DownOptions, 'target'>) =>
  migrate.down({ target: database.url, ...options });
const redo = (options: Omit<migrate.RedoOptions, 'target'>) =>
  migrate.redo({ target: database.url, ...options });
const status = () => migrate.status({ target: database.url });

/** On a new backend each time: a backend that saw TimescaleDB dropped cannot load it again. */
async function look<T>(use: (sql: Sql) => Promise<T>): Promise<T> {
  const sql = connect(database.url, 1);
  try {
    return await use(sql);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

/** Every object except PostgreSQL's own and the ledger's. The list includes TimescaleDB's objects. */
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

describe(`the packaged schema on ${inject('timescaleUrl') ? 'a server' : 'the embedded engine'}`, () => {
  it('is applied, rolled back while its tables hold rows and applied again, at last with one transaction for its tables, and leaves nothing behind', async () => {
    database = await createTimescaleDatabase();
    const before = await look(listObjects);

    expect((await up({ environment: 'dev' })).steps).toHaveLength(total);
    const first = await look(readCatalog);
    expect(await status()).toMatchObject({ isCurrent: true });
    expect((await up()).steps).toEqual([]);

    await look(
      (sql) => sql`
        insert into price_history (time, asset_symbol, price_usd)
        select now() - i * interval '1 hour', 'BTC', 60000 + i from generate_series(1, 500) i`,
    );
    expect(await down({ all: true })).toMatchObject({ applied: 0, pending: { length: total } });
    expect(await look(listObjects)).toEqual(before);
    expect((await down({ all: true })).steps).toEqual([]);

    await expect(up({ singleTransaction: true })).rejects.toMatchObject({
      code: 'faulty-statements',
    });
    const together = await up({ singleTransaction: true, to: tablesEnd });
    expect((await up()).steps).toHaveLength(total - together.steps.length);
    expect(await look(readCatalog)).toEqual(first);
  });

  it('is verified: each rollback brings back the schema from before, and the whole chain does', async () => {
    const { verified, broken, chain } = await verify({
      scratch: inject('timescaleUrl') ?? 'embedded',
    });
    expect(broken).toBeNull();
    expect(verified).toHaveLength(total);
    expect(chain).toEqual({ broken: null });
  });

  it('is rolled back and applied again by one redo of all migrations', async () => {
    database = await createMigratedDatabase();
    const first = await look(readCatalog);
    expect((await redo({ steps: total })).steps).toHaveLength(2 * total);
    expect(await look(readCatalog)).toEqual(first);
  });

  it('does not drop extensions that existed before, nor a table of another owner', async () => {
    database = await createTimescaleDatabase();
    await look(async (sql) => {
      await sql.unsafe('create extension if not exists timescaledb');
      await sql.unsafe('create extension if not exists pgcrypto');
      await sql.unsafe('create table telemetry (time timestamptz not null, value int)');
      await sql.unsafe("select create_hypertable('telemetry', 'time')");
      await sql.unsafe('insert into telemetry values (now(), 1)');
    });
    const before = await look(listObjects);
    await up();
    await down({ all: true });
    expect(await look(listObjects)).toEqual(before);
    expect(await look((sql) => sql`select value from telemetry`)).toMatchObject([{ value: 1 }]);
  });

  it('does not drop extensions that it created while other objects use them', async () => {
    database = await createMigratedDatabase();
    const before = await look(readExtensions);
    expect(before).toEqual(expect.arrayContaining(['pgcrypto', 'timescaledb']));
    await look(async (sql) => {
      await sql.unsafe('create table telemetry (time timestamptz not null, value int)');
      await sql.unsafe("select create_hypertable('telemetry', 'time')");
      await sql.unsafe("create view fingerprints as select digest('x', 'sha256') as value");
    });
    await down({ all: true });
    expect(await look(readExtensions)).toEqual(before);
    expect(
      await look((sql) => sql`select hypertable_name from timescaledb_information.hypertables`),
    ).toMatchObject([{ hypertable_name: 'telemetry' }]);
    await up();
    expect(await status()).toMatchObject({ isCurrent: true });
  });
});

it('the packaged schema, applied in a folder of the embedded engine, is rolled back there', async () => {
  const [empty, migrated] = await Promise.all([
    createFolderDatabase('empty'),
    createFolderDatabase('migrated'),
  ]);
  onTestFinished(empty.drop);
  onTestFinished(migrated.drop);
  const before = await empty.withSql(listObjects);
  const { steps } = await migrate.down({ target: migrated.url, all: true });
  expect(steps).toHaveLength(total);
  expect(await migrated.withSql(listObjects)).toEqual(before);
});

async function readExtensions(sql: Sql): Promise<readonly string[]> {
  const rows = await sql<{ name: string }[]>`select extname as name from pg_extension order by 1`;
  return rows.map(({ name }) => name);
}
