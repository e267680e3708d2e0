import { sql } from 'kysely';
import {
  afterAll,
  afterEach,
  beforeAll,
  describe,
  expect,
  inject,
  it,
  onTestFinished,
} from 'vitest';
import { parseTarget } from '../../src/database/target.ts';
import { examine } from '../../src/doctor/doctor.ts';
import { inspect } from '../../src/inspect/inspect.ts';
import { type QuestionName, questionTitles } from '../../src/inspect/names.ts';
import type { RunResult } from '../../src/migrations/migrate.ts';
import * as migrate from '../../src/migrations/migrate.ts';
import { waitForReplicas } from '../../src/migrations/replica-wait.ts';
import type { CompletedStep } from '../../src/migrations/step.ts';
import type { ProgressEvent } from '../../src/runtime/progress.ts';
import * as schema from '../../src/schema/schema.ts';
import { createDatabase, type DatabaseOptions } from '../../src/typed-database.ts';
import { callCli } from '../support/cli.ts';
import {
  connect,
  createScratchDatabase,
  createScratchRole,
  databaseUrl,
  type ScratchDatabase,
} from '../support/databases.ts';
import { freePort } from '../support/embedded-postgres.ts';
import { errorOf, wordsOf } from '../support/errors.ts';
import { fixture, folderFlags, writePairs } from '../support/fixtures.ts';
import { rowOf } from '../support/inspection.ts';
import { publicTables, recordedVersions, startMigrate, until } from '../support/recovery.ts';
import {
  type Replication,
  receiveWal,
  type Standby,
  startReplication,
} from '../support/replication.ts';

const basic = fixture('cli-basic');
const ofTheServer = [
  'data-checksums-off',
  'fsync-off',
  'idle-in-transaction-timeout',
  'random-page-cost',
];
let servers: Replication;
let north: Standby;
let south: Standby;
let database: ScratchDatabase;

beforeAll(async () => {
  servers = await startReplication();
  const settings = ['max_standby_streaming_delay=50ms'];
  north = await servers.addStandby('north', settings);
  south = await servers.addStandby('south', settings);
  database = await createScratchDatabase(servers.url);
});

afterAll(async () => {
  await database?.drop();
  await servers?.stop();
});

afterEach(async () => {
  await resume(north);
});

async function position(): Promise<string> {
  const [row] = await servers.sql<{ position: string }[]>`select pg_current_wal_lsn() as position`;
  return row?.position ?? '';
}

/** Waits until the standby has replayed all that the primary has written. */
async function untilReplayed({ name, sql }: Standby): Promise<void> {
  const reached = await position();
  await until(`${name} has replayed everything`, async () => {
    const [row] = await sql<{ isDone: boolean }[]>`
      select pg_last_wal_replay_lsn() >= ${reached}::pg_lsn as "isDone"`;
    return row?.isDone;
  });
}

/** Waits until the primary knows that the standby streams and has replayed something. */
async function untilKnown(...names: readonly string[]): Promise<void> {
  await until(`${names.join(' and ')} stream`, async () => {
    const rows = await servers.sql`
      select from pg_stat_replication
      where application_name = any(${names}) and state = 'streaming' and replay_lsn is not null`;
    return rows.length === names.length;
  });
}

/** A database of the test's own on the primary. */
async function ownDatabase(): Promise<ScratchDatabase> {
  const own = await createScratchDatabase(servers.url);
  onTestFinished(own.drop);
  return own;
}

/** Migrates the database, and returns the result and the events of the wait. */
function upAndWait(
  { url }: ScratchDatabase,
  waitForReplicasMs = 20_000,
): { readonly result: Promise<RunResult>; readonly waiting: Promise<void> } {
  let onWaiting = () => {};
  const waiting = new Promise<void>((resolve) => {
    onWaiting = resolve;
  });
  const onProgress = ({ kind }: ProgressEvent) => {
    if (kind === 'waiting-for-replicas') onWaiting();
  };
  return { result: migrate.up({ target: url, ...basic, waitForReplicasMs, onProgress }), waiting };
}

const migrateCli = ({ url }: ScratchDatabase, ...args: readonly string[]) =>
  callCli(['migrate', ...args, '--url', url, ...folderFlags(basic)]);

const pause = async ({ sql }: Standby) => sql`select pg_wal_replay_pause()`;
const resume = async ({ sql }: Standby) => sql`select pg_wal_replay_resume()`;

/** The tables of the migrations that a standby has, read in a session that ends. */
async function tablesOn({ url }: Standby, { name }: ScratchDatabase): Promise<readonly string[]> {
  const sql = connect(databaseUrl(url, name), 1);
  const tables = await publicTables(sql);
  await sql.end();
  return tables;
}

const options = () => ({ target: database.url, ...basic });

describe('migrate status', () => {
  it('shows how far each replica is behind', async () => {
    await untilKnown('north', 'south');
    await untilReplayed(south);
    await pause(north);
    await servers.sql`select pg_logical_emit_message(true, 'test', repeat('x', 100000))`;
    await untilReplayed(south);
    await until('the primary knows that north is behind', async () => {
      const { replicas } = await migrate.status(options());
      return (replicas[0]?.lagBytes ?? 0) > 100_000;
    });
    const { replicas } = await migrate.status(options());
    expect(replicas).toMatchObject([
      { name: 'north', address: '127.0.0.1', state: 'streaming' },
      { name: 'south', address: '127.0.0.1', state: 'streaming' },
    ]);
    const { stdout } = await callCli([
      'migrate',
      'status',
      '--url',
      database.url,
      ...folderFlags(basic),
    ]);
    expect(stdout).toMatch(/^north {4}127\.0\.0\.1 {2}streaming {2}\d+(\.\d)? kB/m);
  });

  it('shows that there are replicas to a role that may not see their lag', async () => {
    const role = await createScratchRole(servers.url);
    const { replicas } = await migrate.status({ ...options(), target: role.urlOf(database.url) });
    await role.drop();
    expect(replicas.map(({ name }) => name)).toEqual(['north', 'south']);
    expect(replicas.map(({ state, lagBytes }) => [state, lagBytes])).toEqual([
      [undefined, undefined],
      [undefined, undefined],
    ]);
  });

  it('leaves out a program that receives WAL and replays none', async () => {
    const receiver = await receiveWal(servers, await position());
    await until('the receiver streams', async () => {
      const rows = await servers.sql`
        select from pg_stat_replication
        where application_name = 'receiver' and state = 'streaming'`;
      return rows[0];
    });
    const { replicas } = await migrate.status(options());
    receiver.destroy();
    expect(replicas.map(({ name }) => name)).toEqual(['north', 'south']);
  });

  it('leaves out a subscriber of logical replication', async () => {
    const subscriber = await createScratchDatabase(servers.url);
    await database.sql`create publication nothing`;
    await database.sql`select pg_create_logical_replication_slot('subscriber', 'pgoutput')`;
    await subscriber.sql.unsafe(
      `create subscription subscriber connection '${database.url}' publication nothing
        with (create_slot = false, copy_data = false)`,
    );
    await until('the subscriber streams', async () => {
      const rows = await servers.sql`
        select from pg_stat_replication
        where application_name = 'subscriber' and replay_lsn is not null`;
      return rows[0];
    });
    const { replicas } = await migrate.status(options());
    await subscriber.sql`drop subscription subscriber`;
    await subscriber.drop();
    expect(replicas.map(({ name }) => name)).toEqual(['north', 'south']);
  });

  it('on a replica shows the replicas that stream from it', async () => {
    await untilReplayed(north);
    const target = database.url.replace(String(servers.port), String(north.port));
    expect((await migrate.status({ ...options(), target })).replicas).toEqual([]);
  });
});

describe('on a standby', () => {
  const onNorth = (url: string) => url.replace(String(servers.port), String(north.port));

  it('the doctor says which rules the primary has to be asked for', async () => {
    await untilReplayed(north);
    const result = await examine({ target: onNorth(database.url), except: ['end-of-life'] });
    expect(result.unseen).toMatchObject([
      { rules: ['vacuum-behind', 'statistics-behind'], remedy: 'ask the primary' },
      { rules: ['prepared-transactions'], remedy: 'ask the primary' },
    ]);
    // It has the settings of its primary, which are those of a test.
    const judged = result.findings.filter(({ rule }) => !ofTheServer.includes(rule));
    expect(judged.map(({ rule }) => rule)).toEqual(['migrations-pending']);
  });

  it('the schema is read as on the primary: the snapshot, its script and the diagram', async () => {
    const own = await ownDatabase();
    await own.sql`create table coins (symbol text primary key)`;
    await untilReplayed(north);
    const [primary, standby] = [own.url, onNorth(own.url)];
    const { snapshot } = await schema.snapshot({ target: standby, grants: true });
    expect(snapshot).toEqual((await schema.snapshot({ target: primary, grants: true })).snapshot);
    const { script } = await schema.script({ target: standby });
    expect(script).toBe((await schema.script({ target: primary })).script);
    expect((await schema.erd({ target: standby })).text).toContain('coins');
  });

  it('lint asks it for the sizes of tables', async () => {
    await untilReplayed(north);
    const target = onNorth(database.url);
    expect(await schema.lint({ ...options(), target })).toMatchObject({ unseen: [] });
  });

  it.each(['postgres', 'a role that may only log in'])(
    'every question of inspect is answered for %s, and says what a standby does not count',
    async (user) => {
      const role = user === 'postgres' ? undefined : await createScratchRole(servers.url);
      const own = await ownDatabase();
      await own.sql.unsafe(`
        create table items as select n from generate_series(1, 30000) n;
        create index by_number on items (n);
        delete from items where n > 1000`);
      await untilReplayed(north);
      const target = onNorth(role?.urlOf(own.url) ?? own.url);
      const { answers } = await inspect({ target });
      expect(answers.map(({ question }) => question)).toEqual(Object.keys(questionTitles));
      expect(answers.filter(({ isAnswered }) => !isAnswered)).toEqual([]);
      const answerTo = (name: QuestionName) =>
        answers.find(({ question }) => question === name) ?? expect.fail(name);
      expect(rowOf(answerTo('sizes'), 'table', 'items')).toMatchObject({ kind: 'table' });
      expect(answerTo('bloat')).toMatchObject({
        advice: [],
        unseen: [expect.stringMatching(/a standby does not count them. Ask the primary/)],
      });
      await role?.drop();
    },
  );
});

describe('migrate up --wait-for-replicas', () => {
  it('waits until every replica has replayed the migrations', async () => {
    const own = await ownDatabase();
    await untilReplayed(north);
    await pause(north);
    const { result, waiting } = upAndWait(own);
    await waiting;
    await resume(north);
    const { replicaWait, steps } = await result;
    expect(steps.length).toBeGreaterThan(0);
    expect(replicaWait).toMatchObject({
      hasAll: true,
      replicas: [
        { name: 'north', hasReplayed: true, isConnected: true },
        { name: 'south', hasReplayed: true, isConnected: true },
      ],
    });
    expect(await tablesOn(north, own)).toEqual(await publicTables(own.sql));
  });

  it('waits for commits that the primary has not written to disk yet', async () => {
    const own = await ownDatabase();
    await own.sql.unsafe(`alter database ${own.name} set synchronous_commit = off`);
    const { replicaWait } = await upAndWait(own).result;
    expect(replicaWait).toMatchObject({ hasAll: true });
    expect(await tablesOn(north, own)).toEqual(await publicTables(own.sql));
  });

  it('exits with 1 when replay is paused, names the replica, and the migrations stay applied', async () => {
    const own = await ownDatabase();
    await untilReplayed(north);
    await pause(north);
    const { code, stdout } = await migrateCli(own, 'up', '--wait-for-replicas', '300ms');
    expect(code).toBe(1);
    expect(stdout).toMatch(
      /1 of 2 replicas has not replayed all after \d+ ms; the migrations stay/,
    );
    expect(stdout).toMatch(/^ {2}north \(127\.0\.0\.1\): streaming, \d+(\.\d)? k?B behind$/m);
    expect(await recordedVersions(own.sql)).toHaveLength(3);
    await resume(north);
    const again = await migrateCli(own, 'up', '--wait-for-replicas', '--json');
    expect(again.code).toBe(0);
    expect(JSON.parse(again.stdout)).toMatchObject({ steps: [], replicaWait: { hasAll: true } });
  });

  it('succeeds without replicas, and says that there are none', async () => {
    const alone = await createScratchDatabase(inject('postgresUrl'));
    const { code, stdout } = await migrateCli(alone, 'up', '--wait-for-replicas');
    await alone.drop();
    expect(code).toBe(0);
    expect(stdout).toContain('no replica streams from the server');
  });

  it('is refused before the first migration for a role that may not see replay', async () => {
    const own = await ownDatabase();
    const role = await createScratchRole(servers.url);
    await own.sql.unsafe(`alter database ${own.name} owner to ${role.name}`);
    const target = role.urlOf(own.url);
    const up = () => migrate.up({ target, ...basic, waitForReplicasMs: 20_000 });
    const error = await errorOf('not-permitted', up);
    expect(wordsOf(error)).toContain(`grant pg_monitor to "${role.name}"`);
    expect(await publicTables(own.sql)).toEqual([]);
    await own.sql.unsafe(`grant pg_monitor to ${role.name}`);
    expect((await up()).replicaWait).toMatchObject({ hasAll: true });
    await own.drop();
    await role.drop();
  });

  it('ends on Ctrl-C, and the error names the applied migrations', async () => {
    const own = await ownDatabase();
    await untilReplayed(north);
    await pause(north);
    const run = startMigrate(own, basic, ['up', '--wait-for-replicas', '--json']);
    await until('the run waits', async () => {
      const rows = await own.sql`
        select from pg_stat_activity
        where application_name = 'cryptosense-db' and datname = current_database()
          and query like '%pg_stat_replication%' and query like '%position%'`;
      return rows[0] && (await recordedVersions(own.sql)).length === 3;
    });
    run.process.kill('SIGINT');
    const { code, stdout } = await run.finished;
    expect(code).toBe(130);
    expect(JSON.parse(stdout).error).toMatchObject({
      code: 'interrupted',
      details: { completed: await recordedVersions(own.sql), pending: [] },
    });
  });

  it('names the applied migrations when the connection to the primary is lost', async () => {
    const own = await ownDatabase();
    await untilReplayed(north);
    await pause(north);
    const { result, waiting } = upAndWait(own);
    result.catch(() => {});
    await waiting;
    await own.sql`
      select pg_terminate_backend(pid) from pg_stat_activity
      where application_name = 'cryptosense-db' and datname = current_database()`;
    const error = await errorOf('connection-lost', () => result);
    expect(error.details).toEqual({ completed: await recordedVersions(own.sql), pending: [] });
    expect(wordsOf(error)).toContain('the migrations stay applied');
  });

  it('is refused by a server that does not have the migrations of the run', async () => {
    const wait = { timeoutMs: 0 };
    const steps = [
      { direction: 'up', version: '20990101_000000' },
      { direction: 'down', version: '20990102_000000' },
    ] as const;
    const error = await errorOf('history-mismatch', () =>
      waitForReplicas(parseTarget(database.url, { user: '' }), steps, wait),
    );
    expect(error.details.versions).toEqual(['20990101_000000']);
  });

  it('waits after down and redo too, and does not say to apply again what was rolled back', async () => {
    const own = await ownDatabase();
    await upAndWait(own).result;
    const options = { target: own.url, ...basic, waitForReplicasMs: 20_000 };
    const redone = await migrate.redo(options);
    expect(redone.steps.map(({ direction }) => direction)).toEqual(['down', 'up']);
    expect(redone.replicaWait).toMatchObject({ hasAll: true });
    await untilReplayed(north);
    await pause(north);
    const { code, stdout } = await migrateCli(own, 'down', '--wait-for-replicas', '300ms');
    expect(code).toBe(1);
    expect(stdout).toMatch(
      /^1 of 2 replicas has not replayed all .*; what the run has committed stays$/m,
    );
    expect(stdout).toContain('cryptosense-db migrate status');
    expect(stdout).not.toContain('migrate up');
    await resume(north);
    const { replicaWait } = await migrate.down({ ...options, all: true });
    expect(replicaWait).toMatchObject({ hasAll: true });
    expect(await tablesOn(north, own)).toEqual([]);
  });

  it('waits for a replica that dies and comes back', async () => {
    const west = await servers.addStandby('west');
    const own = await ownDatabase();
    await untilKnown('west');
    await untilReplayed(west);
    await pause(west);
    const { result, waiting } = upAndWait(own);
    await waiting;
    await west.kill();
    await until('the primary misses west', async () => {
      const rows = await servers.sql`
        select from pg_stat_replication where application_name = 'west'`;
      return rows.length === 0;
    });
    await west.start();
    const { replicaWait } = await result;
    expect(replicaWait).toMatchObject({ hasAll: true });
    expect(replicaWait?.replicas.map(({ name }) => name)).toEqual(['north', 'south', 'west']);
    await west.stop();
  });

  it('says which replica was promoted meanwhile, and does not count it', async () => {
    const east = await servers.addStandby('east');
    const own = await ownDatabase();
    await untilKnown('east');
    await untilReplayed(east);
    await pause(east);
    const { result, waiting } = upAndWait(own, 2_000);
    await waiting;
    await east.sql`select pg_promote()`;
    const { replicaWait } = await result;
    expect(replicaWait).toMatchObject({
      hasAll: false,
      replicas: [
        { name: 'east', hasReplayed: false, isConnected: false },
        { name: 'north', hasReplayed: true },
        { name: 'south', hasReplayed: true },
      ],
    });
    await east.stop();
  });
});

describe('migrate up --dry-run', () => {
  const folders = () =>
    writePairs({
      '20260101_000000_add_orders': [
        'create table orders (id integer);\nalter table orders add total numeric;',
        'drop table orders;',
      ],
      '20260102_000000_add_name': [
        'alter table orders add name text;\nalter table coins add name text;',
        'alter table coins drop name;\nalter table orders drop name;',
      ],
    });
  const dryRun = async (url: string, ...flags: readonly string[]) => {
    const args = ['--dry-run', '--url', url, ...folderFlags(folders()), ...flags];
    const { code, stdout } = await callCli(['migrate', 'up', ...args]);
    expect(code).toBe(0);
    return stdout;
  };

  it('names the statements that cancel queries on replicas', async () => {
    const own = await ownDatabase();
    expect(await dryRun(own.url)).toContain(
      'conflicts with queries on replicas: line 2, ALTER TABLE public.coins\non 2 replicas, ',
    );
    const { replicas } = JSON.parse(await dryRun(own.url, '--json'));
    expect(replicas.map(({ name }: { name: string }) => name)).toEqual(['north', 'south']);
  });

  it('names them in JSON alone where there is no replica', async () => {
    const alone = await createScratchDatabase(inject('postgresUrl'));
    expect(await dryRun(alone.url)).not.toContain('replica');
    const { steps, replicas } = JSON.parse(await dryRun(alone.url, '--json'));
    await alone.drop();
    expect(replicas).toEqual([]);
    expect(steps.map(({ replayConflicts }: CompletedStep) => replayConflicts)).toEqual([
      [],
      [{ statement: 'ALTER TABLE', line: 2, relations: ['public.coins'] }],
    ]);
  });
});

describe("createDatabase({ role: 'replica' })", () => {
  /** Reads from the hosts with these ports. */
  function readFrom(own: ScratchDatabase, ports: readonly number[], options: DatabaseOptions = {}) {
    const hosts = ports.map((port) => `127.0.0.1:${port}`).join(',');
    const target = own.url.replace(`127.0.0.1:${servers.port}`, hosts);
    const db = createDatabase({ target, role: 'replica', connectTimeoutMs: 20_000, ...options });
    onTestFinished(() => db.destroy());
    return db;
  }

  type Db = ReturnType<typeof createDatabase>;

  async function portsOf(db: Db, count: number): Promise<readonly number[]> {
    const ask = async () => {
      const { rows } = await sql<{ port: number }>`
        select inet_server_port() as port, pg_sleep(0.3)`.execute(db);
      return rows[0]?.port ?? 0;
    };
    return Promise.all(Array.from({ length: count }, ask));
  }

  /**
   * A table that standbys have, and a function that reads it in a subtransaction. It sleeps on a standby that has not
   * replayed the new column of the tests.
   */
  async function databaseWithTable(): Promise<ScratchDatabase> {
    const own = await ownDatabase();
    await own.sql`create table coins as select 'BTC' as symbol`;
    await own.sql`
      create function sleep_until_replayed() returns void language sql as $$
        select pg_sleep(20) where not exists (
          select from pg_attribute where attrelid = 'coins'::regclass and attname = 'name'
        ) $$`;
    await own.sql`
      create function count_slowly() returns bigint language plpgsql as $$
      begin
        begin
          perform sleep_until_replayed();
          return (select count(*) from coins);
        exception when division_by_zero then
          return 0;
        end;
      end $$`;
    await untilReplayed(north);
    await untilReplayed(south);
    return own;
  }

  /** Waits until such a query sleeps on a standby, with its locks, and returns the id of its backend. */
  async function running(own: ScratchDatabase, words: string): Promise<number> {
    let pid = 0;
    await until(`a query with ${words}`, async () => {
      for (const standby of [north, south]) {
        const [row] = await standby.sql<{ pid: number }[]>`
          select pid from pg_stat_activity
          where datname = ${own.name} and wait_event = 'PgSleep' and query like ${`%${words}%`}`;
        pid = row?.pid ?? pid;
      }
      return pid > 0;
    });
    return pid;
  }

  it('connects to standbys, and spreads connections over them', async () => {
    const own = await databaseWithTable();
    const db = readFrom(own, [servers.port, north.port, south.port]);
    const ports = await portsOf(db, 16);
    expect(new Set(ports)).toEqual(new Set([north.port, south.port]));
  });

  it('connects to the primary when no standby answers', async () => {
    const own = await databaseWithTable();
    const db = readFrom(own, [await freePort(), servers.port]);
    expect(await portsOf(db, 1)).toEqual([servers.port]);
  });

  it('refuses writes on a standby with a message of its own', async () => {
    const own = await databaseWithTable();
    const db = readFrom(own, [north.port]);
    const error = await errorOf('read-only', () => sql`delete from coins`.execute(db));
    expect(wordsOf(error)).toContain("createDatabase() without role: 'replica'");
  });

  it.each([
    [
      'a query',
      'select sleep_until_replayed(), count(*) as count, pg_backend_pid() as pid from coins',
    ],
    [
      'a query in a subtransaction, whose connection the server ends,',
      'select count_slowly() as count, pg_backend_pid() as pid, (select 1 from coins limit 1)',
    ],
  ])('%s that makes way for replay runs again on another connection', async (_, text) => {
    const own = await databaseWithTable();
    const db = readFrom(own, [north.port, south.port], { maxConnections: 1 });
    const answer = sql<{ count: string; pid: number }>`${sql.raw(text)}`.execute(db);
    const cancelled = await running(own, 'pg_backend_pid');
    await own.sql`alter table coins add column name text`;
    const { rows } = await answer;
    expect(rows[0]?.count).toBe('1');
    expect(rows[0]?.pid).not.toBe(cancelled);
  });

  it('a query in a transaction that makes way for replay does not run again', async () => {
    const own = await databaseWithTable();
    const db = readFrom(own, [north.port, south.port]);
    let queries = 0;
    const work = db.transaction().execute(async (transaction) => {
      queries += 1;
      await sql`select count(*), pg_sleep(60) from coins`.execute(transaction);
    });
    work.catch(() => {});
    await running(own, 'pg_sleep(60)');
    await own.sql`alter table coins add column name text`;
    await expect(work).rejects.toMatchObject({
      code: '40001',
      message: 'canceling statement due to conflict with recovery',
    });
    expect(queries).toBe(1);
    expect(await portsOf(db, 1)).toHaveLength(1);
  });

  it('a query with the role of a primary does not run again', async () => {
    const own = await databaseWithTable();
    const db = readFrom(own, [north.port], { role: 'primary' });
    const work = sql`select count(*), pg_sleep(60) from coins`.execute(db);
    work.catch(() => {});
    await running(own, 'pg_sleep(60)');
    await own.sql`alter table coins add column name text`;
    await expect(work).rejects.toMatchObject({ code: '40001' });
  });
});
