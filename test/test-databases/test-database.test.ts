import { spawnSync } from 'node:child_process';
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { sql } from 'kysely';
import { describe, expect, inject, it, onTestFinished } from 'vitest';
import * as testing from '../../src/testing.ts';
import { createTestDatabase } from '../../src/testing.ts';
import { cleanEnvironment } from '../support/cli.ts';
import { connect } from '../support/databases.ts';
import { codeOf } from '../support/errors.ts';
import { fixture, temporaryFolder, writePairs } from '../support/fixtures.ts';
import { startProgram } from '../support/program.ts';
import { until } from '../support/recovery.ts';
import { coinsSchema, writeSeeders } from '../support/seeding.ts';
import { ownTestServer } from '../support/test-databases.ts';

const chain = fixture('recovery-chain');

describe('the module cryptosense-db/testing', () => {
  it('has these exports and no others', () => {
    expect(Object.keys(testing).sort()).toEqual([
      'CryptosenseDbError',
      'createTestCache',
      'createTestDatabase',
      'databaseFixtures',
      'globalSetup',
      'isError',
      'openTestServer',
      'testDatabases',
    ]);
    expect(Object.keys(testing.testDatabases).sort()).toEqual([
      'create',
      'drop',
      'dropAll',
      'fill',
      'list',
      'prune',
    ]);
  });
});

describe('createTestDatabase', () => {
  it.each([0, 1])(
    'has the settings, privileges and comment that migrations set on their database, with %i made ahead',
    async (ahead) => {
      const { url: server, role } = await ownTestServer();
      const onIt = (statement: string) => `execute format($f$${statement}$f$, current_database());`;
      const up = `create schema app; create schema "My Own";
        do $$ begin
          ${onIt('alter database %I set default_statistics_target = 123')}
          ${onIt('alter database %I set search_path = app, "My Own", public')}
          ${onIt(`alter role ${role} in database %I set work_mem = '1234kB'`)}
          ${onIt("alter role current_user in database %I set temp_tablespaces = ''")}
          ${onIt('revoke connect, temporary on database %I from public')}
          ${onIt('grant connect on database %I to pg_monitor with grant option')}
          ${onIt('grant create on database %I to pg_read_all_data')}
          ${onIt('alter database %I connection limit 7')}
          ${onIt("comment on database %I is 'the database''s own'")}
        end $$;`;
      const folders = writePairs({ '20260101_000000_settings': [up, 'select 1;'] });
      if (ahead > 0) {
        const prepared = await testing.openTestServer({ server });
        await testing.testDatabases.fill(prepared, { ...folders, count: ahead });
        await prepared.close();
      }
      const database = await createTestDatabase({ ...folders, server });
      onTestFinished(database.drop);
      const show = sql<object>`
        select current_setting('default_statistics_target') as target, current_setting('search_path') as path,
          current_setting('work_mem') as memory, current_setting('temp_tablespaces') as temporary,
          datacl::text as acl, datconnlimit as "limit", shobj_description(oid, 'pg_database') as comment
        from pg_database where datname = current_database()`;
      expect((await show.execute(database.db)).rows).toEqual([
        {
          target: '123',
          path: 'app, "My Own", public',
          temporary: '""',
          memory: '1234kB',
          acl: `{${role}=CTc/${role},pg_monitor=c*/${role},pg_read_all_data=C/${role}}`,
          limit: 7,
          comment: "the database's own",
        },
      ]);
    },
  );

  it('returns a URL for other programs, a typed Kysely, and the server that it comes from', async () => {
    const { url: server } = await ownTestServer();
    const events: object[] = [];
    const onProgress = (event: object) => events.push(event);
    const database = await createTestDatabase({ ...chain, server, onProgress });
    const { name, url, db, origin } = database;
    expect({ origin, server: database.server }).toEqual({
      origin: 'option',
      server: new URL(server).host,
    });
    expect(new URL(url)).toMatchObject({
      pathname: `/${name}`,
      username: new URL(server).username,
      password: new URL(server).password,
    });
    expect(events).toContainEqual({
      kind: 'test-server',
      origin: 'option',
      target: new URL(server).host,
      container: undefined,
    });
    const { rows } = await sql<{ name: string }>`select current_database() as name`.execute(db);
    expect(rows).toEqual([{ name }]);
    const other = connect(url, 1);
    expect(await other`select current_database() as name`).toEqual([{ name }]);
    await other.end();
    await database.drop();
    await database.drop();
    await expect(sql`select 1`.execute(db)).rejects.toThrow('destroyed');
  });

  it('drops the database at the end of an `await using`', async () => {
    const { url: server, kinds } = await ownTestServer();
    {
      await using database = await createTestDatabase({ ...chain, server });
      await sql`select 1`.execute(database.db);
      expect(await kinds()).toEqual(['clone', 'template']);
    }
    expect(await kinds()).toEqual(['template']);
  });

  it('drops the database during queries and open transactions, which end with an error', async () => {
    const { url: server, kinds } = await ownTestServer();
    const { db, drop } = await createTestDatabase({ ...chain, server });
    const slow = sql`select pg_sleep(60)`.execute(db).catch((error: unknown) => error);
    const held = db
      .transaction()
      .execute(async (transaction) => {
        await sql`select 1`.execute(transaction);
        await slow;
        await sql`select 1`.execute(transaction);
      })
      .catch((error: unknown) => error);
    // The driver reports the loss of a connection differently while it connects.
    await until('one session sleeps, and one session is in its transaction', async () => {
      const { rows } = await sql<{ n: number }>`
        select count(*)::int as n from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()
          and (state = 'idle in transaction' or query like 'select pg_sleep%')`.execute(db);
      return rows[0]?.n === 2;
    });
    await drop();
    expect(await slow).toBeInstanceOf(Error);
    expect(await held).toBeInstanceOf(Error);
    expect(await kinds()).toEqual(['template']);
  });

  it('does not drop the database after keep()', async () => {
    const { url: server, kinds } = await ownTestServer();
    const database = await createTestDatabase({ ...chain, server });
    await sql`create table mine ()`.execute(database.db);
    await database.keep();
    await database.drop();
    expect(await kinds()).toEqual(['clone', 'template']);
    const other = connect(database.url, 1);
    expect(await other`select * from mine`).toEqual([]);
    await other.end();
  });

  it('reads the files at the moment of the call', async () => {
    const { url: server } = await ownTestServer();
    const root = temporaryFolder();
    const one = ['create table one ();', 'drop table one;'] as const;
    const folders = writePairs({ '20260101_000000_create': one }, root);
    const tablesOf = async () => {
      await using database = await createTestDatabase({ ...folders, server });
      const { rows } = await sql<{ name: string }>`
        select tablename as name from pg_tables where schemaname = 'public' order by 1`.execute(
        database.db,
      );
      return rows.map(({ name }) => name);
    };
    expect(await tablesOf()).toEqual(['one']);
    writePairs({ '20260101_000000_create': ['create table uno ();', 'drop table uno;'] }, root);
    expect(await tablesOf()).toEqual(['uno']);
    writePairs({ '20260102_000000_create_two': ['create table two ();', 'drop table two;'] }, root);
    expect(await tablesOf()).toEqual(['two', 'uno']);
  });

  it('stops after the version that `to` names, for the test of a data migration', async () => {
    const { url: server } = await ownTestServer();
    const folders = writePairs({
      '20260101_000000_create_one': ['create table one ();', 'drop table one;'],
      '20260102_000000_create_two': ['create table two ();', 'drop table two;'],
    });
    const tablesAt = async (to?: string) => {
      await using database = await createTestDatabase({ ...folders, server, to });
      const { rows } = await sql<{ name: string }>`
        select tablename as name from pg_tables where schemaname = 'public' order by 1`.execute(
        database.db,
      );
      return rows.map(({ name }) => name);
    };
    expect(await tablesAt('20260101_000000')).toEqual(['one']);
    expect(await tablesAt()).toEqual(['one', 'two']);
    expect(await codeOf(tablesAt('20260103_000000'))).toBe('unknown-version');
  });

  it('refuses seeders that changed after the process loaded them, because Node does not load them again', async () => {
    const { url: server, kinds } = await ownTestServer();
    const insert = (name: string) =>
      `await load('coins', { rows: [{ id: '00000000-0000-4000-8000-000000000000', name: '${name}', amount: '1' }], total: 1 });`;
    const seeds = writeSeeders({ dev: { '01_coins': insert('old') } });
    const options = { ...coinsSchema(), server, seed: 'dev', seeds } as const;
    const first = await createTestDatabase(options);
    const { rows } = await sql`select name from coins`.execute(first.db);
    expect(rows).toEqual([{ name: 'old' }]);
    const file = join(seeds, 'dev', '01_coins.mjs');
    writeFileSync(file, readFileSync(file, 'utf8').replace("'old'", "'new'"));
    await expect(createTestDatabase(options)).rejects.toMatchObject({
      code: 'faulty-folder',
      details: { findings: [{ rule: 'changed-seeders' }] },
    });
    expect(await kinds()).toEqual(['clone', 'template']);
    const other = startProgram(
      `const { db, drop } = await createTestDatabase(options);
       say((await sql\`select name from coins\`.execute(db)).rows[0].name);
       await drop();`,
      { options: { ...options } },
    );
    expect(await other.finished).toEqual({ code: 0, stdout: 'new\n', stderr: '' });
  });

  it('connects to the server again after a close', async () => {
    const { url: server } = await ownTestServer();
    await (await testing.openTestServer({ server })).close();
    await using database = await createTestDatabase({ ...chain, server });
    expect(database.origin).toBe('option');
  });

  it('can drop the database after a drop that failed, and TimescaleDB runs no job in it until then', async () => {
    const { url: server, list } = await ownTestServer();
    const database = await createTestDatabase({ ...chain, server });
    const url = new URL(inject('postgresUrl'));
    url.pathname = `/${database.name}`;
    const superuser = connect(url.href, 1);
    await superuser`select 1`;
    expect(await codeOf(database.drop())).toBe('not-permitted');
    expect(
      await superuser`select datistemplate as "isTemplate" from pg_database where datname = ${database.name}`,
    ).toEqual([{ isTemplate: true }]);
    await superuser.end();
    await database.drop();
    expect((await list()).map(({ kind }) => kind)).toEqual(['template']);
  });

  it('creates nothing after its signal has fired', async () => {
    const { url: server, kinds } = await ownTestServer();
    await (await createTestDatabase({ ...chain, server })).drop();
    const signal = AbortSignal.abort();
    expect(await codeOf(createTestDatabase({ ...chain, server, signal }))).toBe('interrupted');
    expect(await kinds()).toEqual(['template']);
  });

  it('makes in the background the number of ready clones that `ahead` names', async () => {
    const { url: server, kinds, list } = await ownTestServer();
    const first = await createTestDatabase({ ...chain, server, ahead: 3 });
    const ready = async () => (await list()).filter(({ kind }) => kind === 'ready');
    await until('three are ready', async () => (await ready()).length === 3);
    const second = await createTestDatabase({ ...chain, server, ahead: 3 });
    await until('three are ready again', async () => (await ready()).length === 3);
    await Promise.all([first.drop(), second.drop()]);
    expect(await kinds()).toEqual(['ready', 'ready', 'ready', 'template']);
    for (const ahead of [-1, 1.5, 100_000]) {
      expect(await codeOf(createTestDatabase({ ...chain, server, ahead }))).toBe(
        'bad-configuration',
      );
    }
  });

  it('uses the server of TEST_DATABASE_URL, and the program ends without an open connection', async () => {
    const { url, kinds } = await ownTestServer();
    const { finished } = startProgram(
      `const { origin, db, drop } = await createTestDatabase(options);
       say(origin);
       say(String((await sql\`select 1 as one\`.execute(db)).rows[0].one));
       await drop();`,
      {
        env: { TEST_DATABASE_URL: url, DATABASE_URL: 'postgresql://nobody@127.0.0.1:9/none' },
        options: chain,
      },
    );
    expect(await finished).toEqual({ code: 0, stdout: 'TEST_DATABASE_URL\n1\n', stderr: '' });
    expect(await kinds()).toEqual(['template']);
    const admin = connect(inject('postgresUrl'), 1);
    onTestFinished(() => admin.end());
    await until('no session is left', async () => {
      const role = new URL(url).username;
      return (
        (
          await admin`select from pg_stat_activity where usename = ${role} and datname ~ '^cryptosense_'`
        ).length === 0
      );
    });
  });

  it('says how to get a server when there is no server and no Docker', () => {
    const root = new URL('../../dist/testing.js', import.meta.url).href;
    const text = `
      const { createTestDatabase } = await import('${root}');
      await createTestDatabase().catch(({ code, problems }) => console.log(JSON.stringify({ code, problems })));
    `;
    const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', text], {
      cwd: temporaryFolder(),
      encoding: 'utf8',
      env: { ...cleanEnvironment(), DOCKER_HOST: 'tcp://127.0.0.1:9' },
    });
    expect(JSON.parse(stdout)).toMatchObject({
      code: 'no-test-server',
      problems: [
        {
          message: 'there is no server to make test databases on',
          evidence: expect.arrayContaining([
            'TEST_DATABASE_URL is not set',
            'Docker does not answer',
          ]),
          hint: expect.stringContaining('TEST_DATABASE_URL'),
        },
      ],
    });
  });

  it('refuses an embedded database as a server', async () => {
    expect(await codeOf(createTestDatabase({ server: 'embedded::memory:' }))).toBe(
      'bad-configuration',
    );
  });
});

describe("createTestDatabase({ engine: 'embedded' })", () => {
  const engine = 'embedded';
  const small = () =>
    writePairs({ '20260101_000000_create': ['create table one (id int);', 'drop table one;'] });
  const listen = () => {
    const kinds: string[] = [];
    return { kinds, onProgress: ({ kind }: { kind: string }) => kinds.push(kind) };
  };

  it('copies each database from one image, and replaces a broken image', {
    timeout: 120_000,
  }, async () => {
    const cacheFolder = join(temporaryFolder(), 'cache');
    const options = { engine, cacheFolder, ...small() } as const;
    const imagesIn = () => readdirSync(cacheFolder).filter((name) => /^[0-9a-f]{32}-/.test(name));
    const { kinds, onProgress } = listen();
    {
      await using first = await createTestDatabase({ ...options, onProgress });
      expect(kinds.filter((kind) => kind === 'template-finished')).toHaveLength(1);
      await sql`insert into one values (1)`.execute(first.db);
      expect((await sql`select * from one`.execute(first.db)).rows).toEqual([{ id: 1 }]);
      expect(first).toMatchObject({ origin: 'embedded', url: 'embedded::memory:' });
    }
    const [image = '', ...others] = readdirSync(cacheFolder);
    expect(others).toEqual([]);
    const { ino } = statSync(join(cacheFolder, image));

    const later = listen();
    {
      await using second = await createTestDatabase({ ...options, onProgress: later.onProgress });
      expect(later.kinds).toEqual([]);
      expect(statSync(join(cacheFolder, image)).ino).toBe(ino);
      expect((await sql`select * from one`.execute(second.db)).rows).toEqual([]);
      expect(
        (await sql`select name from cryptosense_db.environment`.execute(second.db)).rows,
      ).toEqual([{ name: 'test' }]);
    }

    // The next maker drops half images and images that are older than a week, and leaves all other files.
    const half = 'a'.repeat(32);
    mkdirSync(join(cacheFolder, `${half}.building`));
    mkdirSync(join(cacheFolder, 'house.building'));
    for (const name of ['backup.tar', `${half}.tar`, `${half}-4.tar`]) {
      writeFileSync(join(cacheFolder, name), 'text');
      utimesSync(join(cacheFolder, name), new Date(0), new Date(0));
    }
    truncateSync(join(cacheFolder, image), 1_000);
    await using third = await createTestDatabase(options);
    expect((await sql`select * from one`.execute(third.db)).rows).toEqual([]);
    expect(readdirSync(cacheFolder).sort()).toEqual(
      [...imagesIn(), 'backup.tar', `${half}.tar`, 'house.building'].sort(),
    );
    expect(imagesIn()).toEqual([image]);
  });

  it('makes a database with the packaged schema and the development data', async () => {
    const cacheFolder = join(temporaryFolder(), 'cache');
    await using database = await createTestDatabase({ engine, cacheFolder, seed: 'dev' });
    const { db } = database;
    const [users] = await db.selectFrom('users').select(db.fn.countAll().as('n')).execute();
    expect(users).toEqual({ n: '3' });
    // A feature of TimescaleDB's own licence works in a restored database too.
    const { rows } = await sql`select count(*)::int as n from price_history_daily`.execute(db);
    expect(rows).toEqual([{ n: expect.any(Number) }]);
  });

  it('throws when it cannot save the image', async () => {
    const file = join(temporaryFolder(), 'file');
    writeFileSync(file, '');
    const cacheFolder = join(file, 'cache');
    expect(await codeOf(createTestDatabase({ engine, cacheFolder, ...small() }))).toBe(
      'file-problem',
    );
  });

  it('refuses options that are for a server', async () => {
    expect(await codeOf(createTestDatabase({ engine, ahead: 2 }))).toBe('bad-configuration');
  });
});
