import { describe, expect, inject, it, onTestFinished } from 'vitest';
import { parseMark } from '../../src/test-databases/mark.ts';
import { dropUnused, listMarked } from '../../src/test-databases/marked.ts';
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
import { openServer, ownTestServer } from '../support/test-databases.ts';

const chain = fixture('recovery-chain');
const admin = inject('postgresUrl');
const timescale = inject('timescaleUrl');

function looker(url = '') {
  const sql = connect(url, 1);
  onTestFinished(() => sql.end({ timeout: 1 }));
  return sql;
}

describe('create', () => {
  it('gives databases that are migrated, marked as a test’s, and each its own', async () => {
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
      await sql`create table mine ()`;
    }
    expect(await kinds()).toEqual(['clone', 'clone', 'clone', 'template']);
  });

  it('makes a template of its own for each state of the files, and they stand side by side', async () => {
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
    // The same texts in other folders are the same.
    expect(await tablesOf(writePairs(two))).toEqual(['one', 'two']);
    expect(made).toHaveLength(2);
    // A rollback shapes it too: it is recorded in the history.
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

  it('has no statistics of what its template went through', async () => {
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

  it('leaves nothing where the migrations fail', async () => {
    const { server, kinds } = await ownTestServer();
    const failing = fixture('cli-failing');
    expect(await codeOf(testDatabases.create(server, { ...failing, count: 2 }))).toBe(
      'migration-failed',
    );
    expect(await kinds()).toEqual([]);
  });

  it('refuses what does not go together before anything is connected to', async () => {
    const nobody = openServer('postgresql://u:p@127.0.0.1:9/postgres');
    const refuse = (options: object) => codeOf(testDatabases.create(nobody, options));
    expect(await refuse({ now: new Date() })).toBe('bad-configuration');
    expect(await refuse({ seeds: '/nowhere' })).toBe('bad-configuration');
    expect(await refuse({ seed: 'production' })).toBe('bad-configuration');
    expect(await refuse({ seed: 'dev', seeds: '/nowhere' })).toBe('faulty-folder');
    expect(await refuse({ migrations: '/nowhere', rollbacks: '/nowhere' })).toBe('faulty-folder');
    expect(await refuse({})).toBe('server-unreachable');
  });

  it('tells a role without CREATEDB so, with the grant to ask for', async () => {
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

  it('is interrupted by its signal while a template is made, and leaves nothing', async () => {
    const { server, kinds } = await ownTestServer();
    const folders = writePairs({
      '20260101_000000_wait': ['select pg_sleep(30);', 'select 1;'],
    });
    const stop = new AbortController();
    const created = codeOf(testDatabases.create(server, { ...folders, signal: stop.signal }));
    await until('it waits', async () => (await kinds()).includes('building'));
    stop.abort();
    expect(await created).toBe('interrupted');
    expect(await kinds()).toEqual([]);
  });

  it.skipIf(!timescale)('seeds them where that is asked for', async () => {
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

it('a mark that another role wrote makes no template', async () => {
  const [mine, other] = [await ownTestServer(), await ownTestServer()];
  await testDatabases.create(mine.server, chain);
  const [template] = await mine.list();
  await testDatabases.prune(mine.server, { olderThanMs: 0, templates: true });
  const forged = `cryptosense_forged_${process.pid}`;
  await onServer(other.url, async (sql) => {
    await sql.unsafe(`create database ${forged} is_template true`);
    await sql.unsafe(
      `comment on database ${forged} is 'cryptosense-db template ${template?.key} 2020-01-01T00:00:00.000Z'`,
    );
  });
  const { databases } = await testDatabases.create(mine.server, chain);
  const sql = looker(databases[0]?.url);
  expect(await sql`select count(*)::int as n from cryptosense_db.migrations`).toEqual([{ n: 4 }]);
});

describe('TimescaleDB’s workers', () => {
  it.skipIf(!timescale)(
    'are in no template and no clone, no job has run there, and none is due',
    async () => {
      const { server, list } = await ownTestServer(timescale);
      const { databases } = await testDatabases.create(server, { count: 4 });
      const sql = looker(timescale);
      // Whoever drops a database wakes the launcher, which looks for others to start a scheduler in.
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
    },
  );
});

describe('drop', () => {
  it('ends the connections to it', async () => {
    const { server, kinds } = await ownTestServer();
    const { databases } = await testDatabases.create(server, chain);
    const sql = looker(databases[0]?.url);
    const hanging = sql`select pg_sleep(60)`.catch((error: unknown) => error);
    await until('somebody is connected', async () => {
      const { databases: all } = await testDatabases.list(server);
      return all.some(({ name, connections }) => name === databases[0]?.name && connections > 0);
    });
    const { dropped } = await testDatabases.drop(server, [databases[0]?.name ?? '']);
    expect(dropped).toEqual([databases[0]?.name]);
    expect(await hanging).toBeInstanceOf(Error);
    expect(await kinds()).toEqual(['template']);
  });

  it('leaves alone what bears no mark, whatever its name, and says which there was none of', async () => {
    const { server, url } = await ownTestServer();
    const name = 'cryptosense_test_0123456789ab';
    await onServer(url, (sql) => sql.unsafe(`create database ${name}`));
    onTestFinished(() => onServer(url, (sql) => sql.unsafe(`drop database ${name}`)));
    expect(await codeOf(testDatabases.drop(server, [name]))).toBe('not-a-test-database');
    expect(await codeOf(testDatabases.drop(server, ['postgres']))).toBe('not-a-test-database');
    const comments = [
      'cryptosense-db',
      'cryptosense-db clone',
      'cryptosense-db clone 0123456789abcdef0123456789abcdef 2026-11-22T10:00:00Z',
      'cryptosense-db clone 0123456789abcdef0123456789abcde 2026-11-22T10:00:00.000Z',
      ' cryptosense-db clone 0123456789abcdef0123456789abcdef 2026-11-22T10:00:00.000Z',
      'cryptosense-db clone 0123456789abcdef0123456789abcdef 2026-11-22T10:00:00.000Z\n',
      'cryptosense-db clone 0123456789abcdef0123456789abcdef 2026-99-99T99:99:99.999Z',
      'cryptosense-db production 0123456789abcdef0123456789abcdef 2026-11-22T10:00:00.000Z',
    ];
    for (const comment of comments) {
      expect(parseMark(comment)).toBeUndefined();
      await onServer(url, (sql) => sql.unsafe(`comment on database ${name} is '${comment}'`));
      expect(await codeOf(testDatabases.drop(server, [name]))).toBe('not-a-test-database');
      expect((await testDatabases.dropAll(server)).dropped).toEqual([]);
      expect((await testDatabases.prune(server, { olderThanMs: 0 })).dropped).toEqual([]);
    }
    const { dropped, missing } = await testDatabases.drop(server, ['nobody"s', "it's"]);
    expect({ dropped, missing }).toEqual({ dropped: [], missing: ['nobody"s', "it's"] });
  });

  it('leaves alone what another role made', async () => {
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
  it('makes as many as are missing, which create takes before it copies', async () => {
    const { server, list, kinds } = await ownTestServer();
    expect(await testDatabases.fill(server, { ...chain, count: 2 })).toMatchObject({ made: 2 });
    expect(await testDatabases.fill(server, { ...chain, count: 2 })).toMatchObject({ made: 0 });
    const ready = (await list()).filter(({ kind }) => kind === 'ready').map(({ name }) => name);
    const { databases } = await testDatabases.create(server, { ...chain, count: 3 });
    const taken = databases.map(({ name }) => name);
    expect(taken).toEqual(expect.arrayContaining(ready));
    expect(taken).toHaveLength(3);
    expect(await kinds()).toEqual(['clone', 'clone', 'clone', 'template']);
    expect(await testDatabases.fill(server, { ...chain, count: 1 })).toMatchObject({ made: 1 });
  });

  it('makes none of another state', async () => {
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
  /** As if it had been made so long ago. */
  async function age(url: string, name: string, since: string): Promise<void> {
    await onServer(url, async (sql) => {
      const [{ comment }] = await sql<[{ comment: string }]>`
        select shobj_description(oid, 'pg_database') as comment from pg_database
        where datname = ${name}`;
      const aged = comment.replace(/\S+$/, since);
      await sql.unsafe(`comment on database ${name} is '${aged}'`);
    });
  }

  it('takes what is older than an hour and nobody uses', async () => {
    const { server, url, list } = await ownTestServer();
    await testDatabases.fill(server, { ...chain, count: 1 });
    const { databases } = await testDatabases.create(server, { ...chain, count: 3 });
    const [old, used] = databases;
    const hourAgo = new Date(Date.now() - 3_700_000).toISOString();
    for (const database of [old, used]) await age(url, database?.name ?? '', hourAgo);
    const sql = looker(used?.url);
    await sql`select 1`;
    expect(await testDatabases.prune(server, {})).toMatchObject({
      dropped: [old?.name],
      inUse: [used?.name],
    });
    expect((await testDatabases.prune(server, { olderThanMs: 7_200_000 })).dropped).toEqual([]);
    expect((await list()).map(({ name }) => name)).toContain(used?.name);
  });

  it('takes templates of a week, or of the age that is said, and what was ready of them', async () => {
    const { server, url, list, kinds } = await ownTestServer();
    await testDatabases.fill(server, { ...chain, count: 1 });
    expect((await testDatabases.prune(server, { templates: true })).dropped).toEqual([]);
    const template = (await list()).find(({ kind }) => kind === 'template')?.name ?? '';
    await age(url, template, new Date(Date.now() - 8 * 86_400_000).toISOString());
    expect((await testDatabases.prune(server, {})).dropped).toHaveLength(2);
    await testDatabases.create(server, chain);
    expect(await kinds()).toEqual(['clone', 'template']);
    await testDatabases.prune(server, { templates: true, olderThanMs: 0 });
    expect(await kinds()).toEqual([]);
  });

  it('leaves what is taken meanwhile to who took it', async () => {
    const { server, url, list } = await ownTestServer();
    await testDatabases.fill(server, { ...chain, count: 8 });
    const old = new Date(Date.now() - 2 * 3_600_000).toISOString();
    for (const { name, kind } of await list()) if (kind === 'ready') await age(url, name, old);
    const other = openServer(url);
    onTestFinished(other.close);
    const [created, pruned] = await Promise.all([
      testDatabases.create(server, { ...chain, count: 8 }),
      testDatabases.prune(other, {}),
    ]);
    const names = created.databases.map(({ name }) => name);
    expect(names).toHaveLength(8);
    expect(pruned.dropped.filter((name) => names.includes(name))).toEqual([]);
    for (const database of created.databases) {
      const sql = connect(database.url, 1);
      expect(await sql`select 1 as one`).toEqual([{ one: 1 }]);
      await sql.end();
    }
  });

  it('ends no connection, not even one that came after it looked', async () => {
    const { server } = await ownTestServer();
    const { databases } = await testDatabases.create(server, chain);
    const [listed] = (await server.use(({ sql }) => listMarked(sql))).filter(
      ({ name }) => name === databases[0]?.name,
    );
    const sql = looker(databases[0]?.url);
    await sql`select 1`;
    if (!listed) throw new Error('it is not listed');
    expect(await server.use((client) => dropUnused(client.sql, listed))).toBe('in use');
    expect(await sql`select 1 as one`).toEqual([{ one: 1 }]);
  });

  it('knows what lost its mark by what is in it, and by nothing else', async () => {
    const { server, url, list } = await ownTestServer();
    const { databases } = await testDatabases.create(server, chain);
    const name = databases[0]?.name ?? '';
    const [full, plain, empty] = ['ba9876543210', 'ba9876543211', 'ba9876543212'].map(
      (digits) => `cryptosense_test_${digits}`,
    );
    const others = [full, plain];
    await onServer(url, async (sql) => {
      await sql.unsafe(`comment on database ${name} is null`);
      await sql.unsafe(`create database ${full} is_template true`);
      await sql.unsafe(`create database ${plain}`);
      await sql.unsafe(`create database ${empty} is_template true`);
    });
    await onServer(databaseUrl(url, full ?? ''), (sql) =>
      sql.unsafe('create table public.mine ()'),
    );
    onTestFinished(() =>
      onServer(url, async (sql) => {
        await sql.unsafe(`alter database ${full} is_template false`);
        for (const other of others) await sql.unsafe(`drop database ${other}`);
      }),
    );
    expect((await list()).map(({ kind }) => kind)).toEqual(['template']);
    expect((await testDatabases.prune(server, {})).dropped).toEqual([]);
    const marked = (await list()).filter(({ kind }) => kind === 'clone');
    expect(marked.map((database) => database.name).sort()).toEqual([name, empty].sort());
    expect([...(await testDatabases.prune(server, { olderThanMs: 0 })).dropped].sort()).toEqual(
      [name, empty].sort(),
    );
  });

  it('goes by itself with the next template that is made', async () => {
    const { server, url, list, kinds } = await ownTestServer();
    await testDatabases.create(server, chain);
    const template = (await list()).find(({ kind }) => kind === 'template')?.name ?? '';
    await age(url, template, '2026-01-01T00:00:00.000Z');
    const other = writePairs({
      '20260101_000000_one': ['create table one ();', 'drop table one;'],
    });
    await testDatabases.create(server, other);
    expect(await kinds()).toEqual(['clone', 'clone', 'template']);
    // Whoever knew the old one makes it anew.
    await testDatabases.create(server, chain);
    expect(await kinds()).toEqual(['clone', 'clone', 'clone', 'template', 'template']);
  });
});
