import { chmodSync } from 'node:fs';
import { describe, expect, inject, it, onTestFinished } from 'vitest';
import * as testDatabases from '../../src/test-databases/test-databases.ts';
import { connect, createScratchRole, databaseUrl, onServer } from '../support/databases.ts';
import { startEmbeddedPostgres } from '../support/embedded-postgres.ts';
import { codeOf } from '../support/errors.ts';
import { type Folders, fixture, temporaryFolder, writePairs } from '../support/fixtures.ts';
import { type RunningProgram, startProgram } from '../support/program.ts';
import { until } from '../support/recovery.ts';
import { openServer, ownTestServer } from '../support/test-databases.ts';

const chain = fixture('recovery-chain');

/** Migrations that stop for so long each, so that a maker can be met in the middle. */
function slowChain(stepMs = 100): Folders {
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

/** Of all who ask for a template, those who made it say so. */
const maker = `
  let made = 0;
  const onProgress = ({ kind }) => { if (kind === 'template-finished') made += 1; };
`;

describe('eight processes at once, two hundred databases', () => {
  const busy = `
    ${maker}
    const seen = [];
    const one = async (index) => {
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
    for (let round = 0; round < 5; round += 1) {
      await Promise.all([1, 2, 3, 4, 5].map(one));
    }
    say(JSON.stringify({ made, seen }));
  `;

  async function runBusy(serverUrl: string, options: object): Promise<void> {
    const { url, kinds } = await ownTestServer(serverUrl);
    const env = { TEST_DATABASE_URL: url };
    const results = await Promise.all(
      Array.from({ length: 8 }, () => startProgram(busy, { env, options }).finished),
    );
    expect(results.map(({ stderr }) => stderr).join('')).toBe('');
    const said: { made: number; seen: [number, number][] }[] = results.map(({ stdout }) =>
      JSON.parse(stdout),
    );
    expect(said.reduce((sum, { made }) => sum + made, 0)).toBe(1);
    const seen = said.flatMap((each) => each.seen);
    expect(seen).toHaveLength(200);
    expect(new Set(seen.map(String))).toEqual(new Set(['0,1']));
    expect(await kinds()).toEqual(['template']);
  }

  it('are each whole and nobody else’s; one template is made, and none of them is left', async () => {
    const table = 'accounts';
    const folders = writePairs({
      '20260101_000000_create_accounts': [
        'create table accounts (id int primary key generated always as identity);',
        'drop table accounts;',
      ],
    });
    await runBusy(inject('postgresUrl'), {
      ...folders,
      table,
      insert: 'insert into accounts default values',
    });
  });

  const timescale = inject('timescaleUrl');
  it.skipIf(!timescale)(
    'so it is with the whole schema, on a server with TimescaleDB',
    async () => {
      await runBusy(timescale ?? '', {
        table: 'price_history',
        insert:
          "insert into price_history (time, asset_symbol, price_usd) values (now(), 'BTC', 1)",
      });
    },
  );
});

describe('a maker that is killed', () => {
  const make = 'await createTestDatabase(options); say("made");';

  it.each([0, 60, 120, 180, 240, 300, 360, 420, 480, 540])(
    '%i ms after it began leaves a template that the next throws away, or a whole one',
    async (delayMs) => {
      const { server, url, kinds } = await ownTestServer();
      const folders = slowChain(50);
      const run = startProgram(make, { env: { TEST_DATABASE_URL: url }, options: folders });
      await until('it has begun', async () => (await kinds()).length > 0);
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      run.process.kill('SIGKILL');
      await run.finished;

      const { databases } = await testDatabases.create(server, { ...folders });
      const sql = connect(databases[0]?.url ?? '', 1);
      onTestFinished(() => sql.end());
      expect(await sql`select from a, b, c, d`).toEqual([]);
      const [{ count }] = await sql<[{ count: number }]>`
        select count(*)::int as count from cryptosense_db.migrations`;
      expect(count).toBe(4);
      expect((await kinds()).filter((kind) => kind !== 'clone')).toEqual(['template']);
    },
  );

  it('does not hold up those who wait for it', async () => {
    const { url, kinds } = await ownTestServer();
    const options = slowChain();
    const env = { TEST_DATABASE_URL: url };
    const first = startProgram(make, { env, options });
    await until('it has begun', async () => (await kinds()).includes('building'));
    const others = Array.from({ length: 3 }, () => startProgram(make, { env, options }));
    first.process.kill('SIGKILL');
    const results = await Promise.all(others.map(({ finished }) => finished));
    expect(results).toEqual(results.map(() => ({ code: 0, stdout: 'made\n', stderr: '' })));
    expect(await kinds()).toEqual(['clone', 'clone', 'clone', 'template']);
  });

  it('leaves one that prune takes away, while one that is being made stays', async () => {
    const { server, url, kinds } = await ownTestServer();
    const env = { TEST_DATABASE_URL: url };
    const alive = startProgram(make, { env, options: slowChain(1_000) });
    await until('one has begun', async () => (await kinds()).length === 1);
    const dead = startProgram(make, { env, options: slowChain() });
    await until('another has begun', async () => (await kinds()).length === 2);
    dead.process.kill('SIGKILL');
    await dead.finished;
    await until('one is pruned', async () => {
      const { dropped } = await testDatabases.prune(server, {});
      return dropped.length === 1;
    });
    expect(await kinds()).toEqual(['building']);
    expect(await alive.finished).toEqual({ code: 0, stdout: 'made\n', stderr: '' });
  });
});

it('a process that dies leaves its databases, which prune finds', async () => {
  const { server, url, kinds } = await ownTestServer();
  const dying = startProgram(
    'await Promise.all([1, 2, 3].map(() => createTestDatabase(options))); say("have"); await new Promise(() => setInterval(() => {}, 1000));',
    { env: { TEST_DATABASE_URL: url }, options: chain },
  );
  await until(
    'it has three',
    async () => (await kinds()).filter((kind) => kind === 'clone').length === 3,
  );
  dying.process.kill('SIGKILL');
  await dying.finished;
  expect((await testDatabases.prune(server, { olderThanMs: 60_000 })).dropped).toEqual([]);
  const { dropped } = await testDatabases.prune(server, { olderThanMs: 0 });
  expect(dropped).toHaveLength(3);
  expect(await kinds()).toEqual(['template']);
});

it('a process that is killed while it creates and drops leaves nothing without a mark', async () => {
  const { url, role, list } = await ownTestServer();
  const busy = `
    for (;;) {
      const some = await Promise.all([1, 2, 3].map(() => createTestDatabase(options)));
      say('created');
      await Promise.all(some.map(({ drop }) => drop()));
    }
  `;
  const admin = connect(inject('postgresUrl'), 1);
  onTestFinished(() => admin.end());
  for (let moment = 0; moment < 12; moment += 1) {
    const run = startProgram(busy, { env: { TEST_DATABASE_URL: url }, options: chain });
    await new Promise((resolve) => run.process.stdout.once('data', resolve));
    await new Promise((resolve) => setTimeout(resolve, moment * 7));
    run.process.kill('SIGKILL');
    await run.finished;
  }
  await until('its backends have ended', async () => {
    const left = await admin`
      select from pg_stat_activity where usename = ${role} and state <> 'idle'`;
    return left.length === 0;
  });
  const owned = await admin<{ name: string }[]>`
    select datname as name from pg_database where pg_get_userbyid(datdba) = ${role}`;
  const marked = new Set((await list()).map(({ name }) => name));
  expect(owned.filter(({ name }) => !marked.has(name))).toEqual([]);
});

it('a maker that never ends is waited for no longer than one said', async () => {
  const { server, url, kinds } = await ownTestServer();
  const options = slowChain(20_000);
  const env = { TEST_DATABASE_URL: url };
  startProgram('await createTestDatabase(options);', { env, options });
  await until('it has begun', async () => (await kinds()).includes('building'));
  await expect(
    testDatabases.create(server, { ...options, lockTimeoutMs: 300 }),
  ).rejects.toMatchObject({ code: 'lock-timeout' });
});

describe('a server that is restarted', () => {
  async function restartable() {
    const postgres = await startEmbeddedPostgres();
    onTestFinished(postgres.stop);
    const server = openServer(postgres.url);
    const kinds = async () => {
      const { databases } = await testDatabases.list(server);
      return databases.map(({ kind }) => kind).sort();
    };
    return { ...postgres, server, kinds };
  }

  it('while a template is made fails the maker; the next begins anew', async () => {
    const { server, kinds, restart } = await restartable();
    const options = slowChain(500);
    const made = codeOf(testDatabases.create(server, options));
    await until('it has begun', async () => (await kinds()).includes('building'));
    await restart();
    // It may have been between two connections.
    expect(['connection-lost', 'server-unreachable']).toContain(await made);
    const { databases } = await testDatabases.create(server, options);
    expect(databases).toHaveLength(1);
    expect(await kinds()).toEqual(['clone', 'template']);
    await server.close();
  });

  it('between two databases is not noticed, and its marks are those of before', async () => {
    const { server, kinds, url, restart } = await restartable();
    await testDatabases.fill(server, { ...chain, count: 2 });
    await testDatabases.create(server, chain);
    await restart();
    const { databases } = await testDatabases.create(server, { ...chain, count: 2 });
    expect(databases).toHaveLength(2);
    expect(await kinds()).toEqual(['clone', 'clone', 'clone', 'template']);
    expect((await testDatabases.dropAll(server)).dropped).toHaveLength(4);
    await onServer(url, async (admin) => {
      expect(
        await admin`select from pg_database where not datistemplate and datname <> 'postgres'`,
      ).toEqual([]);
    });
    await server.close();
  });
});

it('of eighty that are taken at once from forty ready ones, each is another', async () => {
  const { server, url, kinds } = await ownTestServer();
  await testDatabases.fill(server, { ...chain, count: 40 });
  const take = `
    const names = [];
    for (let index = 0; index < 10; index += 1) names.push((await createTestDatabase(options)).name);
    say(JSON.stringify(names));
  `;
  const programs: RunningProgram[] = Array.from({ length: 8 }, () =>
    startProgram(take, { env: { TEST_DATABASE_URL: url }, options: chain }),
  );
  const results = await Promise.all(programs.map(({ finished }) => finished));
  const names: string[] = results.flatMap(({ stdout }) => JSON.parse(stdout));
  expect(new Set(names).size).toBe(80);
  const left = await kinds();
  expect(left.filter((kind) => kind === 'ready')).toEqual([]);
  expect(left.filter((kind) => kind === 'clone')).toHaveLength(80);
});

it('on a Unix socket, where the server misses its client at once, prune finds what a killed one left', async () => {
  const folder = temporaryFolder();
  chmodSync(folder, 0o777);
  const postgres = await startEmbeddedPostgres([`unix_socket_directories=${folder}`]);
  onTestFinished(postgres.stop);
  const url = `postgresql://postgres:test@/postgres?host=${encodeURIComponent(folder)}&port=${postgres.port}`;
  const busy = `
    for (;;) {
      await Promise.all([1, 2, 3].map(() => createTestDatabase(options)));
      say('created');
    }
  `;
  for (let moment = 0; moment < 12; moment += 1) {
    const run = startProgram(busy, { env: { TEST_DATABASE_URL: url }, options: slowChain(1) });
    await new Promise((resolve) => setTimeout(resolve, 150 + moment * 13));
    run.process.kill('SIGKILL');
    await run.finished;
  }
  const server = openServer(url);
  const namesOf = () =>
    server.use(({ sql }) => sql`select datname from pg_database where datname ~ '^cryptosense_'`);
  await until('its backends have ended', async () => {
    const sessions = await server.use(
      ({ sql }) => sql`select from pg_stat_activity where datname is not null and state = 'active'`,
    );
    return sessions.length === 1;
  });
  await testDatabases.prune(server, { olderThanMs: 0, templates: true });
  expect(await namesOf()).toEqual([]);
  await server.close();
});

it('a role that may neither enter the database postgres nor make anything temporary gets copies', async () => {
  const postgres = await startEmbeddedPostgres();
  onTestFinished(postgres.stop);
  const role = await createScratchRole(postgres.url, { rights: 'createdb' });
  await onServer(postgres.url, async (admin) => {
    await admin.unsafe('create database work');
    await admin.unsafe('revoke temporary, connect on database postgres from public');
    await admin.unsafe('revoke temporary on database work from public');
  });
  const url = role.urlOf(databaseUrl(postgres.url, 'work'));
  const server = openServer(url);
  const { databases } = await testDatabases.create(server, { ...chain, count: 2 });
  expect(databases).toHaveLength(2);
  const [first, second] = databases;
  // Its own database is the only one that the tool could connect to.
  const within = openServer(first?.url ?? '');
  expect(await codeOf(testDatabases.drop(within, [first?.name ?? '']))).toBe('bad-configuration');
  await within.close();
  const { dropped } = await testDatabases.drop(server, [first?.name ?? '', second?.name ?? '']);
  expect(dropped).toHaveLength(2);
  await server.close();
});
