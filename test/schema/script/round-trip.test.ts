import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import * as migrate from '../../../src/migrations/migrate.ts';
import { readMigrations, resolveFolders } from '../../../src/migrations/source.ts';
import { script, snapshot } from '../../../src/schema/schema.ts';
import { printSnapshot, type Snapshot } from '../../../src/schema/snapshot/snapshot.ts';
import { hasPgDump, pgDumpMissing } from '../../support/backup.ts';
import {
  connect,
  createScratchDatabase,
  createScratchRole,
  type ScratchDatabase,
  type ScratchRole,
} from '../../support/databases.ts';
import { createMigratedDatabase, createTimescaleDatabase } from '../../support/schema-database.ts';
import { everything, unusual } from '../snapshot/everything.ts';

const run = promisify(execFile);
const programs = '/usr/lib/postgresql/15/bin';

interface Read {
  readonly url: string;
  readonly rights?: { readonly owners: boolean; readonly grants: boolean };
}

const all = { owners: true, grants: true };

async function read({ url, rights = all }: Read): Promise<Snapshot> {
  return (await snapshot({ target: url, ...rights })).snapshot;
}

function write({ url, rights = all }: Read) {
  return script({ target: url, ...rights });
}

/** A script opens a transaction, which needs one connection. */
async function load({ url }: Read, text: string): Promise<void> {
  const sql = connect(url, 1);
  try {
    await sql.unsafe(text);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

/** Both forms of the loaded database are those of the one that the script is from. */
async function expectSame(first: Read, second: Read): Promise<void> {
  expect(printSnapshot(await read(second))).toBe(printSnapshot(await read(first)));
  expect((await write(second)).script).toBe((await write(first)).script);
}

describe('the script of a schema, loaded into an empty database of PostgreSQL', () => {
  let database: ScratchDatabase;
  let empty: ScratchDatabase;
  let role: ScratchRole;
  let file: string;

  beforeAll(async () => {
    role = await createScratchRole(inject('postgresUrl'));
    file = join(await mkdtemp(join(tmpdir(), 'script-')), 'schema.sql');
  });
  afterAll(async () => {
    await rm(dirname(file), { recursive: true });
    await role.drop();
  });

  const withBoth = async (use: () => Promise<void>) => {
    database = await createScratchDatabase(inject('postgresUrl'));
    empty = await createScratchDatabase(inject('postgresUrl'));
    try {
      await use();
    } finally {
      await empty.drop();
      await database.drop();
    }
  };

  it.each([
    ['every kind of object', everything],
    ['odd names, an odd order and odd settings', unusual],
    ['no object at all', 'drop schema public'],
  ])('makes the same schema of %s', async (_, made) => {
    await withBoth(async () => {
      await database.sql.unsafe(made);
      const { script: text, leftOut } = await write(database);
      expect(leftOut).toEqual([]);
      await load(empty, text);
      await expectSame(database, empty);
    });
  });

  it('makes the same owners, grants and default privileges', async () => {
    await withBoth(async () => {
      const { name } = role;
      await database.sql.unsafe(`
        create schema app;
        create table app.a (x serial, y int); create view app.v as select 1 as one;
        create sequence app.s; create function app.f() returns int language sql as 'select 1';
        create function app.g(x int) returns int language sql as 'select 1';
        create procedure app.p() language sql as ''; create type app.t as enum ('a'); create domain app.d as int;
        create aggregate app.every_one(*) (sfunc = int8inc, stype = int8, initcond = '0');
        create materialized view app.m as select 1 as one;
        alter table app.a owner to ${name}; alter function app.f() owner to ${name}; alter type app.t owner to ${name};
        alter domain app.d owner to ${name}; alter view app.v owner to ${name}; alter materialized view app.m owner to ${name};
        alter schema app owner to ${name}; alter aggregate app.every_one(*) owner to ${name};
        create schema other; create table other.b (x int, y int); create sequence other.s;
        grant usage, create on schema other to ${name} with grant option; grant usage on schema app to public;
        grant select, insert on other.b to ${name}; grant update (x), references (y) on other.b to ${name} with grant option;
        grant delete on other.b to public; grant usage on sequence other.s to ${name};
        revoke execute on function app.f() from public; revoke usage on type app.d from public;
        grant execute on function app.g(int) to ${name} with grant option; revoke execute on procedure app.p() from public;
        revoke all on schema public from public;
        revoke update, delete on app.a from ${name}; revoke all on other.b, app.m from current_user, ${name};
        revoke usage on other.s from current_user; revoke execute on function app.g(int) from current_user;
        revoke usage on type app.t from ${name}; revoke create on schema other from current_user;
        revoke create on schema public from pg_database_owner;
        alter default privileges in schema app grant select on tables to ${name};
        alter default privileges for role ${name} grant usage on sequences to public;
        alter default privileges revoke execute on functions from public;
        alter default privileges for role ${name} grant execute on functions to postgres with grant option;
        do $$ begin
          execute format('revoke temporary on database %I from public', current_database());
          execute format('grant create on database %I to ${name} with grant option', current_database());
          execute format('alter database %I owner to ${name}', current_database());
          execute format('revoke create on database %I from ${name}', current_database());
        end $$;
      `);
      const { script: text } = await write(database);
      expect(text.match(/^(?:DO.*)?REVOKE .* FROM "/gm)).toHaveLength(9);
      await load(empty, text);
      await expectSame(database, empty);
    });
  });

  it('takes from the role that runs it what the owner lacks, where it has no owners', async () => {
    await withBoth(async () => {
      await database.sql.unsafe(`create table a (x int); revoke insert on a from current_user;
        revoke create on schema public from pg_database_owner`);
      const rights = { owners: false, grants: true };
      const { script: text } = await write({ url: database.url, rights });
      expect(text.match(/^REVOKE .* FROM .*/gm)).toEqual([
        'REVOKE CREATE ON SCHEMA public FROM pg_database_owner;',
        'REVOKE INSERT ON TABLE public.a FROM CURRENT_ROLE;',
      ]);
      await load(empty, text);
      await expectSame({ url: database.url, rights }, { url: empty.url, rights });
    });
  });

  it('has owners and grants only where they are asked for', async () => {
    await withBoth(async () => {
      await database.sql.unsafe(`create table a (x int); grant select on a to public`);
      const plain = { owners: false, grants: false };
      const { script: text } = await write({ url: database.url, rights: plain });
      expect(text).not.toMatch(/OWNER|GRANT|REVOKE/);
      await load(empty, text);
      await expectSame({ url: database.url, rights: plain }, { url: empty.url, rights: plain });
    });
  });

  it('names what it does not make, in a comment and as data', async () => {
    await withBoth(async () => {
      await database.sql.unsafe(`
        create table a (x int); create index a_x on a (x);
        update pg_index set indisvalid = false where indexrelid = 'a_x'::regclass;
        create collation german (provider = icu, locale = 'de'); create text search configuration words (copy = simple);
        create foreign data wrapper elsewhere; create server far foreign data wrapper elsewhere options (host 'h');
        create user mapping for current_user server far options (password 'secret');
        create type base; create function base_in(cstring) returns base language internal as 'textin';
        create function base_out(base) returns cstring language internal as 'textout';
        create type base (input = base_in, output = base_out);
        create operator === (leftarg = int, rightarg = int, function = int4eq);
        create table parent (x int); create table child (own int) inherits (parent); alter table parent add y int;
        create table target (id int primary key); create table source (id int unique deferrable references target);
        alter table target disable trigger all; alter table source disable trigger all;
      `);
      const { script: text, leftOut } = await write(database);
      expect(leftOut.map(({ object }) => object)).toEqual([
        'collation public.german',
        'foreign-data wrapper elsewhere',
        'operator public.===(integer,integer)',
        'server far',
        'text search configuration public.words',
        'user mapping postgres on server far',
        'type public.base',
        'index public.a_x',
        'table public.child',
        'constraint source_id_fkey on public.source',
        'constraint source_id_key on public.source',
      ]);
      for (const { object, reason } of leftOut) expect(text).toContain(`--   ${object}: ${reason}`);
      expect(text).not.toContain('secret');
    });
  });

  it('makes foreign tables once their server is there', async () => {
    await withBoth(async () => {
      const server =
        'create foreign data wrapper elsewhere; create server "Far" foreign data wrapper elsewhere';
      await database.sql.unsafe(`${server};
        create foreign table far_away (x int options (column_name 'it''s') not null, y text) server "Far" options (a 'b=c');
        comment on foreign table far_away is 'far'`);
      await empty.sql.unsafe(server);
      await load(empty, (await write(database)).script);
      await expectSame(database, empty);
    });
  });

  it.skipIf(!hasPgDump)(
    `makes the same schema with psql, whose variables change nothing in it${pgDumpMissing}`,
    async () => {
      await withBoth(async () => {
        await database.sql.unsafe(unusual);
        await writeFile(file, (await write(database)).script);
        const variables = ['x', 'a', 'of', 'n'].flatMap((name) => ['-v', `${name}=7`]);
        const given = ['-X', '-v', 'ON_ERROR_STOP=1', ...variables, '-d', empty.url, '-f', file];
        await run(`${programs}/psql`, given);
        await expectSame(database, empty);
      });
    },
  );

  it('leaves an empty database as it was when a statement fails', async () => {
    await withBoth(async () => {
      await database.sql.unsafe('create table a (x int); create table z (x int)');
      await empty.sql.unsafe('create table z (x int)');
      const before = await read(empty);
      await expect(load(empty, (await write(database)).script)).rejects.toThrow(/"z"/);
      expect(await read(empty)).toEqual(before);
    });
  });
});

describe('the script of a schema with TimescaleDB', () => {
  /** What is in no migration: settings of every kind. */
  const more = `
    create table readings (at timestamptz not null, device int not null, value float8, value_at timestamptz, "Other" int,
      unique (at, device));
    select create_hypertable('readings', by_range('at', interval '3 days'), create_default_indexes => false);
    select add_dimension('readings', by_hash('device', 4));
    create index readings_value on readings (value);
    create table ticks ("Tick" bigint not null, d int, "Other" text, v float8);
    select create_hypertable('ticks', by_range('Tick', 1000));
    create function now_tick() returns bigint language sql stable as 'select 5::bigint';
    select set_integer_now_func('ticks', 'now_tick');
    alter table ticks set (timescaledb.compress, timescaledb.compress_orderby = '"Tick" desc',
      timescaledb.sparse_index = 'bloom(d), bloom("Other"), minmax(v)');
    create table dense (at timestamptz not null, d int);
    select create_hypertable('dense', by_range('at'), create_default_indexes => false);
    alter table dense set (timescaledb.compress, timescaledb.compress_orderby = 'at', timescaledb.sparse_index = '');
    alter table readings set (timescaledb.compress, timescaledb.compress_segmentby = 'device');
    set timescaledb.enable_chunk_skipping = on;
    select enable_chunk_skipping('readings', 'value_at'); select enable_chunk_skipping('readings', 'Other');
    create materialized view daily with (timescaledb.continuous) as
      select time_bucket('1 day', at) as day, device, avg(value) from readings group by 1, 2 with no data;
    create materialized view a_monthly with (timescaledb.continuous, timescaledb.materialized_only = false) as
      select time_bucket('30 days', day) as month, max(avg) from daily group by 1 with no data;
    create materialized view by_tick with (timescaledb.continuous) as
      select time_bucket(10, "Tick") as bucket, count(*) from ticks group by 1 with no data;
    create index daily_device on daily (device) where device > 5;
    select set_chunk_time_interval('daily', interval '40 days');
    alter materialized view daily set (timescaledb.compress);
    create view over_daily as select * from daily;
    select alter_job(add_retention_policy('readings', drop_after => interval '9 days'), scheduled => false, max_retries => 3,
      max_runtime => '7 minutes', retry_period => '6 minutes');
    select alter_job(add_retention_policy('ticks', 10000), job_name => 'Old ticks');
    select add_continuous_aggregate_policy('daily', null, interval '1 day', interval '1 hour', initial_start => now(), timezone => 'Europe/Paris');
    select add_compression_policy('readings', interval '7 days');
    select add_compression_policy('daily', interval '70 days', schedule_interval => interval '2 hours');
    select add_continuous_aggregate_policy('by_tick', 1000, 20, interval '1 hour');
    select add_reorder_policy('readings', 'readings_at_device_key');
    select alter_job(job_id, config => config || '{"maxchunks_to_compress": 5}') from timescaledb_information.jobs
    where proc_name = 'policy_compression' and hypertable_name = 'readings';
    create procedure own_job(job_id int, config jsonb) language plpgsql as 'begin end';
    create function own_check(config jsonb) returns void language plpgsql as 'begin end';
    select add_job('own_job', interval '1 month', config => '{"b": [1, null], "a": "it''s \\\\ $$"}', check_config => 'own_check');
    select add_job('own_job', interval '1 day', fixed_schedule => false, scheduled => false, job_name => 'It''s [mine] Policy');
  `;

  it('makes the packaged schema and more, and migrate baseline adopts what it made', async () => {
    const database = await createMigratedDatabase();
    const empty = await createTimescaleDatabase();
    await database.withSql((sql) => sql.unsafe(`${more} ${everything} ${unusual}`));
    const { script: text, leftOut } = await write(database);
    expect(leftOut).toEqual([]);
    const settings = [
      `timescaledb.sparse_index = 'bloom(d), bloom("Other"), minmax(v)'`,
      "timescaledb.sparse_index = ''",
      "enable_chunk_skipping('public.readings', 'value_at')",
      "enable_chunk_skipping('public.readings', 'Other')",
      "job_name => 'It''s [mine] Policy'",
      "job_name => 'Old ticks'",
    ];
    expect(settings.filter((setting) => !text.includes(setting))).toEqual([]);
    await load(empty, text);
    await expectSame(database, empty);
    const version = readMigrations(resolveFolders({})).at(-1)?.version ?? '';
    await migrate.baseline({ target: empty.url, version });
    const { migrations } = await migrate.status({ target: empty.url });
    const unapplied = migrations.filter(({ state }) => state !== 'applied');
    expect(unapplied).toEqual([]);
    await expectSame(database, empty);
    await empty.drop();
    await database.drop();
  }, 300_000);
});
