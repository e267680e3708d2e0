import { join } from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { migrate, seed, types } from '../../src/index.ts';
import { createScratchRole, type ScratchDatabase } from '../support/databases.ts';
import { codeOf, errorOf } from '../support/errors.ts';
import { fixture, temporaryFolder, writePairs } from '../support/fixtures.ts';
import { publicTables, scratchDatabase } from '../support/recovery.ts';
import { writeSeeders } from '../support/seeding.ts';

const basic = fixture('cli-basic');
const tables = ['coins', 'quotes'];

let database: ScratchDatabase;
let target: string;
beforeEach(async () => {
  database = await scratchDatabase();
  target = database.url;
});

describe('the tables of migrations', () => {
  it('go to public where a schema is named like the role, and a rollback leaves that schema alone', async () => {
    const { sql } = database;
    const role = await createScratchRole(target);
    onTestFinished(async () => {
      await sql.unsafe(`drop owned by ${role.name} cascade`);
      await role.drop();
    });
    await sql.unsafe(`
      grant create on database ${database.name} to ${role.name};
      grant create on schema public to ${role.name};
      create schema ${role.name} authorization ${role.name};
      create table ${role.name}.coins (of text); insert into ${role.name}.coins values ('another')`);
    const own = { target: role.urlOf(target), ...basic };
    await migrate.up({ ...own, environment: 'dev' });
    expect(await publicTables(sql)).toEqual(tables);
    const seeds = writeSeeders({
      dev: { '01_coins': "await db.insertInto('coins').values({ id: 'bitcoin' }).execute();" },
    });
    await seed.dev({ ...own, seeds });
    expect(await sql`select id from public.coins`).toEqual([{ id: 'bitcoin' }]);
    await migrate.down({ ...own, all: true });
    expect(await publicTables(sql)).toEqual([]);
    expect(await sql.unsafe(`select of from ${role.name}.coins`)).toEqual([{ of: 'another' }]);
  });

  it('go to public under a search path of the database, in every manner of running', async () => {
    await database.sql.unsafe(`create schema elsewhere;
      alter database ${database.name} set search_path = elsewhere`);
    const pairs = writePairs({
      '20260101_000000_a': ['create table a ();', 'drop table a;'],
      '20260101_000001_own_path': [
        'create schema own; set search_path = own; create table b ();',
        'drop schema own cascade;',
      ],
      '20260101_000002_c': ['create table c ();', 'drop table c;'],
    });
    const alone = writePairs({
      '20260101_000003_d': [
        '-- Transaction: none\ncreate table d (id int);\ncreate index concurrently d_id on d (id);',
        '-- Transaction: none\ndrop table d;',
      ],
    });
    await migrate.up({ target, ...pairs });
    expect(await publicTables(database.sql)).toEqual(['a', 'c']);
    expect(await database.sql`select from own.b`).toHaveLength(0);
    await migrate.down({ target, ...pairs, all: true });
    await migrate.up({ target, ...pairs, singleTransaction: true });
    expect(await publicTables(database.sql)).toEqual(['a', 'c']);
    await migrate.down({ target, ...pairs, all: true });
    await migrate.up({ target, ...alone });
    expect(await publicTables(database.sql)).toEqual(['d']);
    await migrate.redo({ target, ...alone });
    expect(await publicTables(database.sql)).toEqual(['d']);
  });

  it.each(['reset search_path', 'set search_path to default', 'reset all'])(
    'go to public after %s in a file, which takes no other setting of the file away',
    async (reset) => {
      await database.sql.unsafe(`create schema elsewhere;
        alter database ${database.name} set search_path = elsewhere;
        alter database ${database.name} set lock_timeout = '1h'`);
      const text = (table: string) =>
        `set search_path = own; set lock_timeout = '7s'; ${reset};
         create table ${table} as select current_setting('lock_timeout') as timeout;
         reset lock_timeout; insert into ${table} select current_setting('lock_timeout');`;
      const pairs = writePairs({
        '20260101_000000_a': [text('a'), 'drop table a;'],
        '20260101_000001_b': [`-- Transaction: none\n${text('b')}`, 'drop table b;'],
      });
      await migrate.up({ target, ...pairs, tableLockTimeoutMs: 3_000 });
      expect(await publicTables(database.sql)).toEqual(['a', 'b']);
      const first = reset === 'reset all' ? '3s' : '7s';
      for (const table of ['a', 'b']) {
        expect(await database.sql`select timeout from ${database.sql(`public.${table}`)}`).toEqual([
          { timeout: first },
          { timeout: '3s' },
        ]);
      }
    },
  );

  it('find the functions of an extension in a schema of its own', async () => {
    const pairs = writePairs({
      '20260101_000000_extension': [
        'create schema tools; create extension pgcrypto schema tools;',
        'drop schema tools cascade;',
      ],
      '20260101_000001_use': [
        "create table hashes as select digest('x', 'sha256') as hash;",
        'drop table hashes;',
      ],
    });
    expect(await migrate.up({ target, ...pairs })).toMatchObject({ applied: 2 });
    expect(await migrate.redo({ target, ...pairs })).toMatchObject({ applied: 2 });
  });

  it('are refused without a schema public', async () => {
    await database.sql`drop schema public`;
    expect(await codeOf(migrate.up({ target, ...basic }))).toBe('not-permitted');
    expect(await database.sql`select from pg_namespace where nspname = 'cryptosense_db'`).toEqual(
      [],
    );
  });
});

describe('tables of migrations in another schema', () => {
  const runs = (folders = basic) => {
    const options = { target, ...folders };
    const seeds = writeSeeders({ dev: { '01_coins': '' } });
    const file = join(temporaryFolder(), 'types.ts');
    return [
      () => migrate.status(options),
      () => migrate.up(options),
      () => migrate.down(options),
      () => migrate.redo(options),
      () => seed.dev({ ...options, seeds }),
      () => types.generate({ ...options, file }),
    ];
  };

  /** The ledger as release 0.1 has left it and this release has upgraded it. */
  const forgetPath = 'update cryptosense_db.migrations set search_path = null';

  it('are refused by every command with the statement that moves them', async () => {
    await migrate.up({ target, ...basic, environment: 'dev' });
    await database.sql.unsafe(`${forgetPath};
      create schema app; alter table coins set schema app; alter table quotes set schema app;
      create table public.coins (of text)`);
    for (const run of runs()) {
      const error = await errorOf('schema-elsewhere', run);
      expect(error.details).toEqual({ names: ['app.quotes'] });
      expect(error.problems[0]?.hint).toContain('alter table "app"."quotes" set schema public');
    }
    await database.sql.unsafe(`drop table public.coins;
      alter table app.coins set schema public; alter table app.quotes set schema public`);
    expect(await migrate.redo({ target, ...basic })).toMatchObject({ applied: 3 });
  });

  it('are refused when only the recorded rollbacks name them', async () => {
    await migrate.up({ target, ...basic });
    await database.sql.unsafe(
      `${forgetPath}; create schema app; alter table quotes set schema app`,
    );
    const other = writePairs({ '20260201_000000_x': ['create table x ();', 'drop table x;'] });
    expect(await codeOf(migrate.down({ target, ...other }))).toBe('schema-elsewhere');
  });

  it('are refused before the upgrade of an older ledger whose role has another search path', async () => {
    await migrate.up({ target, ...basic, environment: 'dev' });
    await database.sql.unsafe(`
      update cryptosense_db.ledger set format = 2;
      alter table cryptosense_db.migrations drop column search_path;
      alter table cryptosense_db.migration_journal drop column remains;
      create schema app; create table app.coins (id text);
      alter database ${database.name} set search_path = app, public`);
    for (const run of runs()) {
      expect((await errorOf('schema-elsewhere', run)).details).toEqual({ names: ['app.coins'] });
    }
    await database.sql.unsafe(`alter database ${database.name} set search_path = public, app`);
    expect(await migrate.redo({ target, ...basic })).toMatchObject({ applied: 3 });
    await database.sql.unsafe(`alter database ${database.name} set search_path = app, public`);
    expect(await migrate.redo({ target, ...basic })).toMatchObject({ applied: 3 });
  });

  it.each([
    ['moved them', 'alter table coins set schema app;'],
    ['moved them by their full name', 'alter table public.coins set schema app;'],
    ['moved them in a block', 'do $$ begin alter table coins set schema app; end $$;'],
    ['renamed them', 'alter table public.coins rename to assets; create table app.coins ();'],
    ['dropped them', 'drop table public.coins; create table app.coins ();'],
    ['named the schema', 'drop table coins; create table app.others ();'],
  ])('are no obstacle when a migration of release 0.1 has %s', async (_, statement) => {
    const pairs = writePairs({
      '20260101_000000_a': ['create table coins ();', 'select 1;'],
      '20260101_000001_b': [`create schema app; ${statement}`, 'select 1;'],
    });
    await migrate.up({ target, ...pairs });
    await database.sql.unsafe(forgetPath);
    expect(await migrate.status({ target, ...pairs })).toMatchObject({ isCurrent: true });
    expect(await migrate.down({ target, ...pairs })).toMatchObject({ applied: 1 });
  });

  it('are no obstacle where runs of this release have applied the migrations', async () => {
    await migrate.up({ target, ...basic });
    await database.sql.unsafe('create schema app; alter table quotes set schema app');
    expect(await migrate.status({ target, ...basic })).toMatchObject({ isCurrent: true });
  });
});
