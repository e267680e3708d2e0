import { randomUUID } from 'node:crypto';
import type { Sql } from 'postgres';
import { afterAll, beforeAll, describe, expect, inject, it, onTestFinished } from 'vitest';
import { parseName } from '../../src/test-databases/name.ts';
import * as testDatabases from '../../src/test-databases/test-databases.ts';
import type { TestServer } from '../../src/test-databases/test-server.ts';
import { connect, createScratchRole, databaseUrl, onServer } from '../support/databases.ts';
import { type PostgresServer, startEmbeddedPostgres } from '../support/embedded-postgres.ts';
import { codeOf } from '../support/errors.ts';
import { type Folders, fixture, writePairs } from '../support/fixtures.ts';
import { startProgram } from '../support/program.ts';
import { until } from '../support/recovery.ts';
import { rounds } from '../support/soak.ts';
import { openServer, ownTestServer } from '../support/test-databases.ts';

const chain = fixture('recovery-chain');

/** Four migrations. Each lasts at least `stepMs`. */
function slowChain(stepMs: number): Folders {
  const names = ['a', 'b', 'c', 'd'];
  return writePairs(
    Object.fromEntries(
      names.map((name, index) => [
        `2026010${index + 1}_000000_create_${name}`,
        [
          `create table ${name} (id int primary key); select pg_sleep(${stepMs / 1_000});`,
          `drop table ${name};`,
        ],
      ]),
    ),
  );
}

/**
 * A migration that waits until its gate is opened or the server restarts. The gate is a session, which every database
 * of the server sees in pg_stat_activity. An advisory lock would belong to one database.
 */
async function gatedChain(
  serverUrl: string,
): Promise<{ folders: Folders; open: () => Promise<void> }> {
  const name = `gate_${randomUUID()}`;
  const gate = connect(serverUrl, 1);
  const open = () => gate.end({ timeout: 1 });
  onTestFinished(open);
  await gate.unsafe(`set application_name = '${name}'`);
  const wait = `
    do $$ begin
      while exists (select from pg_stat_activity where application_name = '${name}') loop
        perform pg_sleep(0.01);
        perform pg_stat_clear_snapshot();
      end loop;
    end $$;`;
  const folders = writePairs({ '20260101_000000_wait': [wait, 'select 1;'] });
  return { folders, open };
}

/** Connects to the same server with separate connections, as another process does. Closed when the test ends. */
function openAnother(url: string): TestServer {
  const server = openServer(url);
  onTestFinished(server.close);
  return server;
}

describe('processes that create and drop databases at the same time', () => {
  const busy = `
    let made = 0;
    const onProgress = ({ kind }) => { if (kind === 'template-finished') made += 1; };
    const seen = [];
    const one = async () => {
      const database = await createTestDatabase({ ...options, onProgress });
      const { db } = database;
      const { rows: before } = await sql\`select * from \${sql.table(options.table)}\`.execute(db);
      await sql.raw(options.insert).execute(db);
      const { rows: after } = await sql\`select * from \${sql.table(options.table)}\`.execute(db);
      const { rows: [{ name }] } = await sql\`select current_database() as name\`.execute(db);
      if (name !== database.name) throw new Error('another database');
      seen.push([before.length, after.length]);
      await database.drop();
    };
    for (let round = 0; round < options.rounds; round += 1) {
      await Promise.all([1, 2, 3, 4].map(one));
    }
    say(JSON.stringify({ made, seen }));
  `;
  const processes = 3;

  async function runBusy(serverUrl: string, options: object): Promise<void> {
    const { url, kinds } = await ownTestServer(serverUrl);
    const each = rounds(2);
    const results = await Promise.all(
      Array.from(
        { length: processes },
        () =>
          startProgram(busy, {
            env: { TEST_DATABASE_URL: url },
            options: { ...options, rounds: each },
          }).finished,
      ),
    );
    expect(results.map(({ stderr }) => stderr).join('')).toBe('');
    const said: { made: number; seen: [number, number][] }[] = results.map(({ stdout }) =>
      JSON.parse(stdout),
    );
    expect(said.reduce((sum, { made }) => sum + made, 0)).toBe(1);
    const seen = said.flatMap((each) => each.seen);
    expect(seen).toHaveLength(processes * 4 * each);
    expect(new Set(seen.map(String))).toEqual(new Set(['0,1']));
    expect(await kinds()).toEqual(['template']);
  }

  it('share one template, and never get the same database', async () => {
    const folders = writePairs({
      '20260101_000000_create_accounts': [
        'create table accounts (id int primary key generated always as identity);',
        'drop table accounts;',
      ],
    });
    await runBusy(inject('postgresUrl'), {
      ...folders,
      table: 'accounts',
      insert: 'insert into accounts default values',
    });
  });

  const timescale = inject('timescaleUrl');
  it.skipIf(!timescale)(
    'share one template of the packaged schema on a server with TimescaleDB',
    async () => {
      await runBusy(timescale ?? '', {
        table: 'price_history',
        insert:
          "insert into price_history (time, asset_symbol, price_usd) values (now(), 'BTC', 1)",
      });
    },
  );
});

describe('a process that is killed while it makes a template', () => {
  const make = `
    const onProgress = ({ kind, step }) => say(kind === 'step-finished' ? step.version : kind);
    await createTestDatabase({ ...options, onProgress });
    say('made');
  `;

  /** Starts a process that makes a template, and kills the process when it has printed the line. */
  async function killAfter(line: string, { url, options }: { url: string; options: Folders }) {
    const run = startProgram(make, { env: { TEST_DATABASE_URL: url }, options });
    await new Promise<void>((resolve) => {
      let said = '';
      run.process.stdout.on('data', (chunk: Buffer) => {
        said += chunk.toString();
        if (said.includes(line)) resolve();
      });
    });
    run.process.kill('SIGKILL');
    const { stdout } = await run.finished;
    // The kill came before the end of the program.
    expect(stdout).not.toContain('made');
  }

  const moments = ['template-started', '20260101_000000', '20260103_000000', '20260104_000000'];
  it.each(Array.from({ length: rounds(1) }, () => moments).flat())(
    'leaves at %s a complete template or a database that the next process drops',
    async (moment) => {
      const { server, url, kinds } = await ownTestServer();
      const folders = slowChain(50);
      await killAfter(moment, { url, options: folders });
      const { databases } = await testDatabases.create(server, { ...folders });
      const sql = connect(databases[0]?.url ?? '', 1);
      onTestFinished(() => sql.end());
      expect(await sql`select from a, b, c, d`).toEqual([]);
      const [{ count }] = await sql<[{ count: number }]>`
        select count(*)::int as count from cryptosense_db.migrations`;
      expect(count).toBe(4);
      expect(await kinds()).toEqual(['clone', 'template']);
    },
  );

  it('does not block the processes that wait for the template', async () => {
    const { url, kinds } = await ownTestServer();
    const { folders, open } = await gatedChain(inject('postgresUrl'));
    const first = startProgram(make, { env: { TEST_DATABASE_URL: url }, options: folders });
    await until('the template is being made', async () => (await kinds()).includes('building'));
    const waiting = [1, 2, 3].map(() => testDatabases.create(openAnother(url), folders));
    first.process.kill('SIGKILL');
    await first.finished;
    await open();
    await Promise.all(waiting);
    expect(await kinds()).toEqual(['clone', 'clone', 'clone', 'template']);
  });

  it('leaves a database that prune drops, and prune keeps a template that another process makes', async () => {
    const { server, url, kinds } = await ownTestServer();
    const { folders, open } = await gatedChain(inject('postgresUrl'));
    const alive = testDatabases.create(openAnother(url), folders);
    await until('the template is being made', async () => (await kinds()).length === 1);
    await killAfter('20260101_000000', { url, options: slowChain(200) });
    expect(await kinds()).toEqual(['building', 'building']);
    await until('prune drops one database', async () => {
      const { dropped } = await testDatabases.prune(server, {});
      return dropped.length === 1;
    });
    expect(await kinds()).toEqual(['building']);
    await open();
    expect((await alive).databases).toHaveLength(1);
  });
});

describe('a process that is killed', () => {
  it('leaves its databases, which prune drops after the given age', async () => {
    const { server, url, kinds } = await ownTestServer();
    const dying = startProgram(
      'await Promise.all([1, 2, 3].map(() => createTestDatabase(options))); say("have"); await new Promise(() => setInterval(() => {}, 1000));',
      { env: { TEST_DATABASE_URL: url }, options: chain },
    );
    await until(
      'the process has three databases',
      async () => (await kinds()).filter((kind) => kind === 'clone').length === 3,
    );
    dying.process.kill('SIGKILL');
    await dying.finished;
    expect((await testDatabases.prune(server, { olderThanMs: 60_000 })).dropped).toEqual([]);
    const { dropped } = await testDatabases.prune(server, { olderThanMs: 0 });
    expect(dropped).toHaveLength(3);
    expect(await kinds()).toEqual(['template']);
  });

  it.each(['create database', 'alter database', 'drop database'])(
    'leaves only databases with the names of test databases when it is killed in "%s"',
    async (words) => {
      const { server, url, role } = await ownTestServer();
      const admin = connect(inject('postgresUrl'), 1);
      const gate = connect(inject('postgresUrl'), 1);
      onTestFinished(async () => {
        await Promise.all([admin.end(), gate.end()]);
      });
      const busy = `
        for (;;) {
          const some = await Promise.all([1, 2, 3].map(() => createTestDatabase(options)));
          await Promise.all(some.map(({ drop }) => drop()));
        }
      `;
      await testDatabases.create(server, chain);
      for (let round = 0; round < rounds(1); round += 1) {
        const run = startProgram(busy, { env: { TEST_DATABASE_URL: url }, options: chain });
        await until(`the statement ${words} runs`, async () => {
          // Every change of a database waits for this lock, so a statement cannot end before the kill.
          await gate`begin`;
          await gate`lock table pg_database in share mode`;
          const waiting = await waitingStatements(admin, role);
          const isReached = waiting.some((query) => query.startsWith(words));
          if (isReached) run.process.kill('SIGKILL');
          await gate`rollback`;
          return isReached;
        });
        await run.finished;
      }
      await until('its sessions have ended', async () => {
        const left = await admin`
          select from pg_stat_activity where usename = ${role} and state <> 'idle'`;
        return left.length === 0;
      });
      const owned = await admin<{ name: string }[]>`
        select datname as name from pg_database where pg_get_userbyid(datdba) = ${role}`;
      expect(owned.filter(({ name }) => !parseName(name))).toEqual([]);
      await testDatabases.prune(server, { olderThanMs: 0, templates: true });
      expect(
        await admin`select datname from pg_database where pg_get_userbyid(datdba) = ${role}`,
      ).toEqual([]);
    },
  );
});

/** The statements of the role's sessions that wait for a lock; waits until there is one. */
async function waitingStatements(admin: Sql, role: string): Promise<readonly string[]> {
  let found: readonly { query: string }[] = [];
  await until('a session of the role waits', async () => {
    found = await admin<{ query: string }[]>`
      select query from pg_stat_activity where usename = ${role} and wait_event_type = 'Lock'`;
    return found.length > 0;
  });
  return found.map(({ query }) => query);
}

it('a process waits for a template that another process makes until the lock timeout', async () => {
  const { server, url, kinds } = await ownTestServer();
  const { folders } = await gatedChain(inject('postgresUrl'));
  const stop = new AbortController();
  const making = codeOf(
    testDatabases.create(openAnother(url), { ...folders, signal: stop.signal }),
  );
  await until('the template is being made', async () => (await kinds()).includes('building'));
  expect(await codeOf(testDatabases.create(server, { ...folders, lockTimeoutMs: 300 }))).toBe(
    'lock-timeout',
  );
  stop.abort();
  expect(await making).toBe('interrupted');
});

it('several servers never give out the same ready clone', async () => {
  const { server, url, kinds } = await ownTestServer();
  for (let round = 1; round <= rounds(1); round += 1) {
    await testDatabases.fill(server, { ...chain, count: 8 });
    const results = await Promise.all(
      Array.from({ length: 4 }, () =>
        testDatabases.create(openAnother(url), { ...chain, count: 4 }),
      ),
    );
    const names = results.flatMap(({ databases }) => databases.map(({ name }) => name));
    expect(new Set(names).size).toBe(16);
    const left = await kinds();
    expect(left.filter((kind) => kind === 'ready')).toEqual([]);
    expect(left.filter((kind) => kind === 'clone')).toHaveLength(16 * round);
  }
});

describe('a server that restarts or closes its database postgres', () => {
  let postgres: PostgresServer;
  beforeAll(async () => {
    postgres = await startEmbeddedPostgres();
  });
  afterAll(() => postgres?.stop());

  async function ownServer() {
    const server = openServer(postgres.url);
    onTestFinished(async () => {
      await testDatabases.dropAll(server);
      await server.close();
    });
    const kinds = async () => {
      const { databases } = await testDatabases.list(server);
      return databases.map(({ kind }) => kind).sort();
    };
    return { server, kinds };
  }

  it('fails the making of a template when it restarts, and the next call makes the template', async () => {
    const { server, kinds } = await ownServer();
    const { folders } = await gatedChain(postgres.url);
    const made = codeOf(testDatabases.create(server, folders));
    await until('the template is being made', async () => (await kinds()).includes('building'));
    await postgres.restart();
    // The restart may come between two connections of the call.
    expect(['connection-lost', 'server-unreachable']).toContain(await made);
    const { databases } = await testDatabases.create(server, folders);
    expect(databases).toHaveLength(1);
    expect(await kinds()).toEqual(['clone', 'template']);
  });

  it('keeps its template and its ready clones when it restarts', async () => {
    const { server, kinds } = await ownServer();
    await testDatabases.fill(server, { ...chain, count: 2 });
    await testDatabases.create(server, chain);
    await postgres.restart();
    const { databases } = await testDatabases.create(server, { ...chain, count: 2 });
    expect(databases).toHaveLength(2);
    expect(await kinds()).toEqual(['clone', 'clone', 'clone', 'template']);
    expect((await testDatabases.dropAll(server)).dropped).toHaveLength(4);
    await onServer(postgres.url, async (admin) => {
      expect(
        await admin`select from pg_database where not datistemplate and datname <> 'postgres'`,
      ).toEqual([]);
    });
  });

  it('gives test databases to a role that may not connect to the database postgres', async () => {
    const role = await createScratchRole(postgres.url, { rights: 'createdb' });
    await onServer(postgres.url, async (admin) => {
      await admin.unsafe('create database work');
      await admin.unsafe('revoke temporary, connect on database postgres from public');
      await admin.unsafe('revoke temporary on database work from public');
    });
    const server = openAnother(role.urlOf(databaseUrl(postgres.url, 'work')));
    expect(await testDatabases.fill(server, { ...chain, count: 1 })).toMatchObject({ made: 1 });
    const { databases } = await testDatabases.create(server, { ...chain, count: 2 });
    const [first, second] = databases.map(({ name }) => name);
    const { databases: all } = await testDatabases.list(server);
    expect(all.map(({ kind }) => kind).sort()).toEqual(['clone', 'clone', 'template']);
    // The tool cannot drop the only database that it can connect to.
    const within = openAnother(databases[0]?.url ?? '');
    expect(await codeOf(testDatabases.drop(within, [first ?? '']))).toBe('bad-configuration');
    await within.close();
    const { dropped } = await testDatabases.drop(server, [first ?? '', second ?? '']);
    expect(dropped).toHaveLength(2);
  });
});
