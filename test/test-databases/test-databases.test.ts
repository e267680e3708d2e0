import { randomBytes } from 'node:crypto';
import { describe, expect, inject, it, onTestFinished } from 'vitest';
import { dropUnused, listDatabases } from '../../src/test-databases/catalog.ts';
import { parseName, printName } from '../../src/test-databases/name.ts';
import * as testDatabases from '../../src/test-databases/test-databases.ts';
import {
  connect,
  createScratchDatabase,
  createScratchRole,
  databaseUrl,
  onServer,
} from '../support/databases.ts';
import { codeOf } from '../support/errors.ts';
import { fixture, writePairs } from '../support/fixtures.ts';
import { until } from '../support/recovery.ts';
import { rounds } from '../support/soak.ts';
import { openServer, ownTestServer } from '../support/test-databases.ts';

const chain = fixture('recovery-chain');
const admin = inject('postgresUrl');
const timescale = inject('timescaleUrl');

function looker(url = '') {
  const sql = connect(url, 1);
  onTestFinished(() => sql.end({ timeout: 1 }));
  return sql;
}

describe('the drop of a database that the server refuses to drop', () => {
  it('fails with the reason, and a later prune finds the database', async () => {
    const { server, url, list } = await ownTestServer();
    const { databases } = await testDatabases.create(server, { ...chain });
    const { name = '' } = databases[0] ?? {};
    const inside = looker(databaseUrl(admin, name));
    // DROP DATABASE refuses a database with a subscription.
    await inside.unsafe(
      "create subscription keep connection 'dbname=none' publication none with (connect = false, enabled = false, slot_name = none)",
    );
    await inside.end({ timeout: 1 });
    await expect(testDatabases.drop(server, [name])).rejects.toThrow('subscription');
    const left = (await list()).filter(({ kind }) => kind === 'unused');
    expect(left).toHaveLength(1);
    const again = looker(databaseUrl(admin, left[0]?.name ?? ''));
    await again.unsafe('drop subscription keep');
    await again.end({ timeout: 1 });
    const { dropped } = await testDatabases.prune(openServer(url), { olderThanMs: 0 });
    expect(dropped).toContain(left[0]?.name);
  }, 90_000);
});

describe('create', () => {
  it('returns different databases, each migrated and marked as a test database', async () => {
    const { server, kinds } = await ownTestServer();
    const { databases, origin, ...rest } = await testDatabases.create(server, {
      ...chain,
      count: 3,
    });
    expect(new Set(databases.map(({ name }) => name)).size).toBe(3);
    expect({ origin, ...rest }).toEqual({ origin: 'option', server: new URL(admin).host });
    for (const { name, url } of databases) {
      const sql = looker(url);
      expect(await sql`select name from cryptosense_db.environment`).toEqual([{ name: 'test' }]);
      expect(await sql`select count(*)::int as n from cryptosense_db.migrations`).toEqual([
        { n: 4 },
      ]);
      expect(await sql`select current_database() as name`).toEqual([{ name }]);
      const [comment] = await sql`
        select shobj_description(oid, 'pg_database') as text from pg_database where datname = ${name}`;
      expect(comment?.text).toContain('A test database of cryptosense-db');
      await sql`create table mine ()`;
    }
    expect(await kinds()).toEqual(['clone', 'clone', 'clone', 'template']);
  });

  it('makes one template for each content of the files, and keeps the other templates', async () => {
    const { server, kinds } = await ownTestServer();
    const made: string[] = [];
    const onProgress = (event: { kind: string; key?: string }) => {
      if (event.kind === 'template-finished') made.push(event.key ?? '');
    };
    const one = {
      '20260101_000000_create_one': ['create table one ();', 'drop table one;'],
    } as const;
    const two = {
      ...one,
      '20260102_000000_create_two': ['create table two ();', 'drop table two;'],
    } as const;
    const [older, newer] = [writePairs(one), writePairs(two)];
    const tablesOf = async (folders: typeof older) => {
      const { databases } = await testDatabases.create(server, { ...folders, onProgress });
      const rows = await looker(databases[0]?.url)<{ name: string }[]>`
        select tablename as name from pg_tables where schemaname = 'public' order by 1`;
      return rows.map(({ name }) => name);
    };
    expect(await tablesOf(older)).toEqual(['one']);
    expect(await tablesOf(newer)).toEqual(['one', 'two']);
    expect(await tablesOf(older)).toEqual(['one']);
    expect(await tablesOf(newer)).toEqual(['one', 'two']);
    expect(new Set(made).size).toBe(2);
    expect(made).toHaveLength(2);
    // The same texts in other folders have the same template.
    expect(await tablesOf(writePairs(two))).toEqual(['one', 'two']);
    expect(made).toHaveLength(2);
    // A changed rollback needs its own template, because the history records rollbacks.
    await tablesOf(
      writePairs({
        ...one,
        '20260101_000000_create_one': [
          one['20260101_000000_create_one'][0],
          'drop table if exists one;',
        ],
      }),
    );
    expect(made).toHaveLength(3);
    expect((await kinds()).filter((kind) => kind === 'template')).toHaveLength(3);
  });

  it('gives clones without the activity statistics of their template', async () => {
    const { server } = await ownTestServer();
    const folders = writePairs({
      '20260101_000000_create_one': [
        'create table one as select generate_series(1, 1000) as a; analyze one;',
        'drop table one;',
      ],
    });
    const { databases } = await testDatabases.create(server, folders);
    const rows = await looker(databases[0]?.url)`
      select n_tup_ins::int as inserted, analyze_count::int as analyzed
      from pg_stat_user_tables where relname = 'one'`;
    expect(rows).toEqual([{ inserted: 0, analyzed: 0 }]);
  });

  it('leaves nothing behind when the migrations fail', async () => {
    const { server, kinds } = await ownTestServer();
    const failing = fixture('cli-failing');
    expect(await codeOf(testDatabases.create(server, { ...failing, count: 2 }))).toBe(
      'migration-failed',
    );
    expect(await kinds()).toEqual([]);
  });

  it('refuses options that contradict each other before it connects', async () => {
    const unreachable = openServer('postgresql://u:p@127.0.0.1:9/postgres');
    const refuse = (options: object) => codeOf(testDatabases.create(unreachable, options));
    expect(await refuse({ now: new Date() })).toBe('bad-configuration');
    expect(await refuse({ seeds: '/nowhere' })).toBe('bad-configuration');
    expect(await refuse({ seed: 'production' })).toBe('bad-configuration');
    expect(await refuse({ seed: 'dev', to: '20251007_120000' })).toBe('bad-configuration');
    expect(await refuse({ seed: 'dev', seeds: '/nowhere' })).toBe('faulty-folder');
    expect(await refuse({ migrations: '/nowhere', rollbacks: '/nowhere' })).toBe('faulty-folder');
    expect(await refuse({})).toBe('server-unreachable');
  });

  it('names the missing grant to a role without CREATEDB', async () => {
    const role = await createScratchRole(admin);
    onTestFinished(role.drop);
    const server = openServer(role.urlOf(admin));
    onTestFinished(server.close);
    await expect(testDatabases.create(server, chain)).rejects.toMatchObject({
      code: 'not-permitted',
      problems: [
        {
          message: `the role "${role.name}" may not create databases`,
          hint: `let a superuser run: alter role "${role.name}" createdb`,
        },
      ],
    });
  });

  it('ends when its signal fires during the making of a template, and leaves nothing behind', async () => {
    const { server, kinds } = await ownTestServer();
    const folders = writePairs({
      '20260101_000000_wait': ['select pg_sleep(30);', 'select 1;'],
    });
    const stop = new AbortController();
    const created = codeOf(testDatabases.create(server, { ...folders, signal: stop.signal }));
    await until('the template is being made', async () => (await kinds()).includes('building'));
    stop.abort();
    expect(await created).toBe('interrupted');
    expect(await kinds()).toEqual([]);
  });

  it.skipIf(!timescale)('seeds the databases when an option asks for it', async () => {
    const { server } = await ownTestServer(timescale);
    const now = new Date('2026-11-20T12:34:00Z');
    const { databases } = await testDatabases.create(server, { seed: 'dev', now });
    const sql = looker(databases[0]?.url);
    expect(await sql`select name from cryptosense_db.environment`).toEqual([{ name: 'test' }]);
    expect(
      await sql`select count(*)::int as n, max(time) as last from price_history where asset_symbol = 'BTC' and data_source = 'synthetic' and time >= ${new Date(now.getTime() - 86_400_000)}`,
    ).toEqual([{ n: 1440, last: expect.any(Date) }]);
    expect(await sql`select count(*)::int as n from users`).toEqual([{ n: 3 }]);
  });
});

it('create does not use a template or a ready clone of another role, even when the name has the same key', async () => {
  const [mine, other] = [await ownTestServer(), await ownTestServer()];
  await testDatabases.create(mine.server, chain);
  const key = (await mine.list())[0]?.key ?? '';
  await testDatabases.prune(mine.server, { olderThanMs: 0, templates: true });
  for (const kind of ['template', 'ready'] as const) {
    const name = printName({ kind, key, since: new Date() });
    await onServer(other.url, (sql) => sql.unsafe(`create database ${name} is_template true`));
  }
  const { databases } = await testDatabases.create(mine.server, chain);
  const sql = looker(databases[0]?.url);
  expect(await sql`select count(*)::int as n from cryptosense_db.migrations`).toEqual([{ n: 4 }]);
  expect(await mine.kinds()).toEqual(['clone', 'template']);
});

describe('the background workers of TimescaleDB', () => {
  it.skipIf(!timescale)('run no job in a template or a clone', async () => {
    const { server, list } = await ownTestServer(timescale);
    const { databases } = await testDatabases.create(server, { count: 4 });
    const sql = looker(timescale);
    // DROP DATABASE wakes TimescaleDB's launcher, which looks for databases that need a scheduler.
    const other = await createScratchDatabase(timescale ?? '');
    await other.drop();
    const names = (await list()).map(({ name }) => name).join(' ');
    const workers = await sql`
        select datname from pg_stat_activity
        where datname = any (string_to_array(${names}, ' ')) and backend_type <> 'autovacuum worker'`;
    expect(workers).toEqual([]);
    const clone = looker(databases[0]?.url);
    const [{ due, ran, jobs }] = await clone<[{ due: number; ran: number; jobs: number }]>`
        select
          (select count(*)::int from timescaledb_information.jobs where job_id >= 1000) as jobs,
          (select count(*)::int from timescaledb_information.jobs
            where scheduled and pg_has_role(owner, 'usage')) as due,
          (select count(*)::int from timescaledb_information.job_stats where total_runs > 0) as ran`;
    expect({ due, ran }).toEqual({ due: 0, ran: 0 });
    expect(jobs).toBeGreaterThan(3);
    // A test that is about a job runs it itself.
    await clone.unsafe(
      `do $$ declare job int := (select min(job_id) from timescaledb_information.jobs where job_id >= 1000);
         begin call run_job(job); end $$`,
    );
  });
});

describe('drop', () => {
  it('ends the sessions in the database', async () => {
    const { server, kinds } = await ownTestServer();
    const { databases } = await testDatabases.create(server, chain);
    const sql = looker(databases[0]?.url);
    // The driver's first queries have to end before the drop: it does not report the loss of one of them.
    await sql`select 1`;
    const hanging = sql`select pg_sleep(60)`.catch((error: unknown) => error);
    const observer = looker(admin);
    await until('the session sleeps', async () => {
      const sleepers = await observer`
        select from pg_stat_activity
        where datname = ${databases[0]?.name ?? ''} and wait_event = 'PgSleep'`;
      return sleepers.length === 1;
    });
    const { dropped } = await testDatabases.drop(server, [databases[0]?.name ?? '']);
    expect(dropped).toEqual([databases[0]?.name]);
    expect(await hanging).toBeInstanceOf(Error);
    expect(await kinds()).toEqual(['template']);
  });

  it('refuses names that are not names of test databases, and returns the names that do not exist', async () => {
    const { server, url, kinds } = await ownTestServer();
    const random = randomBytes(6).toString('hex');
    const others = [
      // Of version 0.1, which recognised its databases by comments.
      `cryptosense_test_${random}`,
      `cryptosense_template_${random}`,
      // There is no such day, and there is no such kind.
      `cryptosense_test_clone_0123${random}_20260230000000_aaaaaaaa`,
      `cryptosense_test_production_0123${random}_20260228000000_aaa`,
    ];
    await onServer(url, async (sql) => {
      for (const name of others) {
        await sql.unsafe(`create database ${name}`);
        await sql.unsafe(
          `comment on database ${name} is 'cryptosense-db clone 0123456789abcdef0123456789abcdef 2026-01-01T00:00:00.000Z'`,
        );
      }
    });
    onTestFinished(() =>
      onServer(url, async (sql) => {
        for (const name of others) await sql.unsafe(`drop database ${name}`);
      }),
    );
    for (const name of [...others, 'postgres']) {
      expect(await codeOf(testDatabases.drop(server, [name]))).toBe('not-a-test-database');
    }
    expect((await testDatabases.dropAll(server)).dropped).toEqual([]);
    expect(await testDatabases.prune(server, { olderThanMs: 0, templates: true })).toMatchObject({
      dropped: [],
      inUse: [],
    });
    expect(await kinds()).toEqual([]);
    const { dropped, missing } = await testDatabases.drop(server, ['nobody"s', "it's"]);
    expect({ dropped, missing }).toEqual({ dropped: [], missing: ['nobody"s', "it's"] });
  });

  it('does not drop the databases of other roles', async () => {
    const [mine, other] = [await ownTestServer(), await ownTestServer()];
    const { databases } = await testDatabases.create(other.server, chain);
    const name = databases[0]?.name ?? '';
    expect(await codeOf(testDatabases.drop(mine.server, [name]))).toBe('not-permitted');
    expect((await testDatabases.dropAll(mine.server)).dropped).toEqual([]);
    expect(
      (await testDatabases.prune(mine.server, { olderThanMs: 0, templates: true })).dropped,
    ).toEqual([]);
    expect(await other.kinds()).toEqual(['clone', 'template']);
  });
});

describe('fill', () => {
  it('makes the missing ready clones, and create uses them before it copies a template', async () => {
    const { server, list, kinds } = await ownTestServer();
    expect(await testDatabases.fill(server, { ...chain, count: 2 })).toMatchObject({ made: 2 });
    expect(await testDatabases.fill(server, { ...chain, count: 2 })).toMatchObject({ made: 0 });
    const oidsOf = (kind: string) =>
      server.use(async ({ sql }) => {
        const names = (await list()).flatMap((each) => (each.kind === kind ? [each.name] : []));
        const rows = await sql<{ oid: number }[]>`
          select oid from pg_database where datname = any (string_to_array(${names.join(' ')}, ' '))`;
        return rows.map(({ oid }) => oid);
      });
    const ready = await oidsOf('ready');
    await testDatabases.create(server, { ...chain, count: 3 });
    const taken = await oidsOf('clone');
    expect(taken).toEqual(expect.arrayContaining(ready));
    expect(taken).toHaveLength(3);
    expect(await kinds()).toEqual(['clone', 'clone', 'clone', 'template']);
    expect(await testDatabases.fill(server, { ...chain, count: 1 })).toMatchObject({ made: 1 });
  });

  it('makes clones that create uses only when they have no session', async () => {
    const { server, url, list, kinds } = await ownTestServer();
    await testDatabases.fill(server, { ...chain, count: 1 });
    const ready = (await list()).find(({ kind }) => kind === 'ready');
    const sql = looker(databaseUrl(url, ready?.name ?? ''));
    await sql`select 1`;
    await testDatabases.create(server, chain);
    expect(await kinds()).toEqual(['clone', 'ready', 'template']);
    expect(await sql`select current_database() as name`).toEqual([{ name: ready?.name }]);
    await sql.end();
    await until('the session has ended', async () =>
      (await list()).every(({ connections }) => connections === 0),
    );
    await testDatabases.create(server, chain);
    expect(await kinds()).toEqual(['clone', 'clone', 'template']);
  });

  it('makes clones that create uses only for the same files', async () => {
    const { server } = await ownTestServer();
    await testDatabases.fill(server, { ...chain, count: 1 });
    const other = writePairs({
      '20260101_000000_one': ['create table one ();', 'drop table one;'],
    });
    const { databases } = await testDatabases.create(server, other);
    expect(await looker(databases[0]?.url)`select * from one`).toEqual([]);
  });
});

describe('prune', () => {
  const hoursAgo = (hours: number) => new Date(Date.now() - hours * 3_600_000);

  /** Renames the database so that its name holds this time. */
  async function age(url: string, name: string | undefined, since: Date): Promise<string> {
    const state = parseName(name ?? '');
    if (!state) throw new Error(`${name} is not a test database`);
    const aged = printName({ ...state, since });
    await onServer(url, (sql) => sql.unsafe(`alter database ${name} rename to ${aged}`));
    return aged;
  }

  it('drops clones that are older than an hour and have no session', async () => {
    const { server, url, list } = await ownTestServer();
    await testDatabases.fill(server, { ...chain, count: 1 });
    const { databases } = await testDatabases.create(server, { ...chain, count: 3 });
    const old = await age(url, databases[0]?.name, hoursAgo(1.1));
    const used = await age(url, databases[1]?.name, hoursAgo(1.1));
    const sql = looker(databaseUrl(url, used));
    await sql`select 1`;
    expect(await testDatabases.prune(server, {})).toMatchObject({ dropped: [old], inUse: [used] });
    expect((await testDatabases.prune(server, { olderThanMs: 7_200_000 })).dropped).toEqual([]);
    expect((await list()).map(({ name }) => name)).toContain(used);
  });

  it('drops templates after a week or after the given age, with their ready clones', async () => {
    const { server, url, list, kinds } = await ownTestServer();
    await testDatabases.fill(server, { ...chain, count: 1 });
    expect((await testDatabases.prune(server, { templates: true })).dropped).toEqual([]);
    const template = (await list()).find(({ kind }) => kind === 'template');
    await age(url, template?.name, hoursAgo(8 * 24));
    expect((await testDatabases.prune(server, {})).dropped).toHaveLength(2);
    await testDatabases.create(server, chain);
    expect(await kinds()).toEqual(['clone', 'template']);
    await testDatabases.prune(server, { templates: true, olderThanMs: 0 });
    expect(await kinds()).toEqual([]);
  });

  it('does not drop a ready clone that create uses at the same time', async () => {
    for (let round = 0; round < rounds(2); round += 1) {
      const { server, url, list } = await ownTestServer();
      await testDatabases.fill(server, { ...chain, count: 6 });
      const ready = (await list()).filter(({ kind }) => kind === 'ready');
      for (const { name } of ready) await age(url, name, hoursAgo(2));
      const other = openServer(url);
      onTestFinished(other.close);
      const [created, pruned] = await Promise.all([
        testDatabases.create(server, { ...chain, count: 6 }),
        testDatabases.prune(other, {}),
      ]);
      const names = created.databases.map(({ name }) => name);
      const all = await list();
      const left = all.filter(({ kind }) => kind !== 'template').map(({ name }) => name);
      expect(left.sort()).toEqual([...names].sort());
      // Each of the six was either dropped or taken; a copy replaced each that was dropped.
      expect(pruned.dropped.length).toBeLessThanOrEqual(6);
      expect(pruned.dropped.filter((name) => parseName(name)?.kind !== 'ready')).toEqual([]);
      for (const database of created.databases) {
        await onServer(database.url, async (sql) => {
          expect(await sql`select 1 as one`).toEqual([{ one: 1 }]);
          expect(
            await sql`select datistemplate from pg_database where datname = current_database()`,
          ).toEqual([{ datistemplate: true }]);
        });
      }
    }
  });

  it('does not end a session, even when the session began after its check', async () => {
    const { server } = await ownTestServer();
    const { databases } = await testDatabases.create(server, chain);
    const [found] = (await server.use(({ sql }) => listDatabases(sql))).filter(
      ({ name }) => name === databases[0]?.name,
    );
    const sql = looker(databases[0]?.url);
    await sql`select 1`;
    if (!found) throw new Error('it is not listed');
    expect(await server.use((client) => dropUnused(client.sql, found))).toBe('in use');
    expect(await sql`select 1 as one`).toEqual([{ one: 1 }]);
  });

  it('drops a database whose drop ended early with its process', async () => {
    const { server, url, kinds } = await ownTestServer();
    const name = printName({ kind: 'unused', key: '0123456789abcdef', since: new Date() });
    await onServer(url, (sql) => sql.unsafe(`create database ${name}`));
    // The server marks a database with an unfinished DROP like this, and refuses to alter it.
    await onServer(
      admin,
      (sql) => sql`update pg_database set datconnlimit = -2 where datname = ${name}`,
    );
    expect(await kinds()).toEqual(['unused']);
    expect((await testDatabases.prune(server, {})).dropped).toEqual([name]);
  });

  it('is called for old templates when create makes a template', async () => {
    const { server, url, list, kinds } = await ownTestServer();
    await testDatabases.create(server, chain);
    const template = (await list()).find(({ kind }) => kind === 'template');
    await age(url, template?.name, new Date('2026-01-01T00:00:00Z'));
    const other = writePairs({
      '20260101_000000_one': ['create table one ();', 'drop table one;'],
    });
    await testDatabases.create(server, other);
    expect(await kinds()).toEqual(['clone', 'clone', 'template']);
    await testDatabases.create(server, chain);
    expect(await kinds()).toEqual(['clone', 'clone', 'clone', 'template', 'template']);
  });
});

it('two calls that drop the same databases at the same time both succeed', async () => {
  const { server, url, kinds } = await ownTestServer();
  const { databases } = await testDatabases.create(server, { ...chain, count: 6 });
  const names = databases.map(({ name }) => name);
  const other = openServer(url);
  onTestFinished(other.close);
  await Promise.all([server, other].map((each) => testDatabases.drop(each, names)));
  expect(await kinds()).toEqual(['template']);
});
