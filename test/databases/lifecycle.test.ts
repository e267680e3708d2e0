import { EventEmitter, once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  inject,
  it,
  onTestFinished,
} from 'vitest';
import { lockFolder } from '../../src/database/embedded/folder-lock.ts';
import { resolveTarget } from '../../src/database/target.ts';
import { create, drop, mark, reset, wait } from '../../src/databases/lifecycle.ts';
import * as migrate from '../../src/migrations/migrate.ts';
import { isError } from '../../src/runtime/errors.ts';
import type { ProgressEvent } from '../../src/runtime/progress.ts';
import {
  createScratchDatabase,
  createScratchRole,
  databaseUrl,
  onServer,
  type ScratchDatabase,
  type ScratchRole,
} from '../support/databases.ts';
import { freePort } from '../support/embedded-postgres.ts';
import { codeOf } from '../support/errors.ts';
import { fixture, temporaryFolder, writePairs } from '../support/fixtures.ts';
import { openPlainServer } from '../support/plain-server.ts';
import { createFolderDatabase } from '../support/schema-database.ts';
import { openMutePort, openRelay } from '../support/sockets.ts';

const server = inject('postgresUrl');
const basic = fixture('cli-basic');

let database: ScratchDatabase;
beforeEach(async () => {
  database = await createScratchDatabase(server);
});
afterEach(() => database?.drop());

async function isThere(name: string): Promise<boolean> {
  const [row] = await database.sql`select from pg_database where datname = ${name}`;
  return row !== undefined;
}

describe('create', () => {
  it.each([`a space, "quotes", 's`, 'do.ts sla/sh da-sh größe UP', '100% 🐘; drop database x; --'])(
    'makes a database named %s once, and drop removes it',
    async (odd) => {
      const name = `${database.name} ${odd}`;
      const target = databaseUrl(server, encodeURIComponent(name));
      expect(await create({ target })).toMatchObject({ isCreated: true });
      expect(await isThere(name)).toBe(true);
      expect(await create({ target })).toMatchObject({ isCreated: false });
      expect(await migrate.up({ target, ...basic })).toMatchObject({ database: name, applied: 3 });
      expect(await drop({ target })).toMatchObject({ isDropped: true });
      expect(await isThere(name)).toBe(false);
      expect(await drop({ target })).toMatchObject({ isDropped: false });
    },
  );

  it('creates the database once when several calls start at the same time', async () => {
    const target = databaseUrl(server, `${database.name}_race`);
    const results = await Promise.all(Array.from({ length: 6 }, () => create({ target })));
    expect(results.filter(({ isCreated }) => isCreated)).toHaveLength(1);
    await drop({ target });
  });
});

describe('a role without CREATEDB', () => {
  let role: ScratchRole;
  beforeAll(async () => {
    role = await createScratchRole(server);
  });
  afterAll(() => role?.drop());

  it('may not create a database, and the error names the missing grant', async () => {
    const target = role.urlOf(databaseUrl(server, `${database.name}_other`));
    const error: unknown = await create({ target }).catch((reason: unknown) => reason);
    expect(isError(error, 'not-permitted') && error.problems[0]?.hint).toContain(
      `alter role "${role.name}" createdb`,
    );
  });

  it('can see that the database exists', async () => {
    expect(await create({ target: role.urlOf(database.url) })).toMatchObject({ isCreated: false });
  });

  it('may not drop the database of another role', async () => {
    expect(await codeOf(drop({ target: role.urlOf(database.url) }))).toBe('not-permitted');
    expect(await isThere(database.name)).toBe(true);
  });

  it('may not reset its own database, which stays unchanged', async () => {
    await onServer(server, (admin) =>
      admin.unsafe(`alter database ${database.name} owner to ${role.name}`),
    );
    const target = role.urlOf(database.url);
    await migrate.up({ target, ...basic });
    expect(await codeOf(reset({ target, ...basic }))).toBe('not-permitted');
    expect(await database.sql`select from cryptosense_db.migrations`).toHaveLength(3);
  });
});

describe('drop', () => {
  it('drops a database with open sessions', async () => {
    const other = await database.sql.reserve();
    await other`select 1`;
    expect(await drop({ target: database.url })).toMatchObject({ isDropped: true });
  });
});

describe('reset', () => {
  it('drops, creates and migrates, and keeps the mark', async () => {
    const target = database.url;
    await migrate.up({ target, ...basic, environment: 'test' });
    await onServer(target, (sql) => sql`insert into coins values ('bitcoin')`);
    expect(await reset({ target, ...basic })).toMatchObject({ applied: 3, environment: 'test' });
    await onServer(target, async (sql) => expect(await sql`select from coins`).toHaveLength(0));
    expect(await migrate.status({ target, ...basic })).toMatchObject({
      environment: 'test',
      isCurrent: true,
    });
  });

  it('creates a database that did not exist', async () => {
    const target = databaseUrl(server, `${database.name}_new`);
    expect(await reset({ target, ...basic })).toMatchObject({ applied: 3 });
    await drop({ target });
  });

  it('drops nothing when a file has a fault', async () => {
    const target = database.url;
    await migrate.up({ target, ...basic });
    expect(await codeOf(reset({ target, ...fixture('cli-faulty') }))).toBe('faulty-folder');
    const typo = writePairs({ '20260101_000000_typo': ['CREATE TABEL x ();', 'SELECT 1;'] });
    expect(await codeOf(reset({ target, ...typo }))).toBe('faulty-statements');
    expect(await migrate.status({ target, ...basic })).toMatchObject({ isCurrent: true });
  });

  it('drops nothing when the server cannot run the files', async () => {
    const plain = await openPlainServer();
    const target = databaseUrl(plain.url, `${database.name}_precious`);
    try {
      const needy = writePairs({
        '20260101_000000_timescale': [
          'CREATE EXTENSION timescaledb;',
          'DROP EXTENSION timescaledb;',
        ],
      });
      await create({ target });
      await migrate.up({ target, ...basic });
      expect(await codeOf(reset({ target, ...needy }))).toBe('server-unsuitable');
      expect(await migrate.status({ target, ...basic })).toMatchObject({ isCurrent: true });
    } finally {
      await drop({ target });
      await plain.stop();
    }
  });

  it('reports folders that do not exist', async () => {
    const root = temporaryFolder();
    const absent = { migrations: join(root, 'up'), rollbacks: join(root, 'down') };
    const error: unknown = await reset({ target: database.url, ...absent }).catch(
      (reason: unknown) => reason,
    );
    expect(isError(error, 'faulty-folder') && error.details.findings).toMatchObject([
      { folder: root, file: 'up', rule: 'unreadable-folder' },
      { folder: root, file: 'down', rule: 'unreadable-folder' },
    ]);
  });

  it('keeps the mark and the migrations before the failure when a migration fails', async () => {
    const target = database.url;
    await migrate.up({ target, ...basic, environment: 'dev' });
    const failing = fixture('cli-failing');
    expect(await codeOf(reset({ target, ...failing }))).toBe('migration-failed');
    const { environment, migrations } = await migrate.status({ target, ...failing });
    expect(environment).toBe('dev');
    expect(migrations.map(({ state }) => state)).toEqual(['applied', 'pending', 'pending']);
  });
});

describe('the mark of an environment', () => {
  it('cannot be replaced by another mark, and the refused run applies nothing', async () => {
    const target = database.url;
    await migrate.up({ target, ...basic, steps: 1, environment: 'dev' });
    expect(await codeOf(migrate.up({ target, ...basic, environment: 'production' }))).toBe(
      'environment-refused',
    );
    expect(await migrate.status({ target, ...basic })).toMatchObject({
      environment: 'dev',
      isCurrent: false,
    });
    expect(await migrate.up({ target, ...basic, environment: 'dev' })).toMatchObject({
      environment: 'dev',
      applied: 3,
    });
  });

  it('can be given to a database without pending migrations', async () => {
    const target = database.url;
    await migrate.up({ target, ...basic });
    const marked = await migrate.up({ target, ...basic, environment: 'production' });
    expect(marked).toMatchObject({ environment: 'production', steps: [] });
  });

  it('is not written by a dry run', async () => {
    const target = database.url;
    await migrate.up({ target, ...basic, environment: 'production', dryRun: true });
    expect((await migrate.status({ target, ...basic })).environment).toBeUndefined();
  });

  it('is kept when the first deployment fails', async () => {
    const options = { target: database.url, ...fixture('cli-failing') };
    expect(await codeOf(migrate.up({ ...options, environment: 'production' }))).toBe(
      'migration-failed',
    );
    expect(await codeOf(drop(options))).toBe('environment-refused');
  });

  const operations: readonly (readonly [string, (force?: string) => Promise<unknown>])[] = [
    ['migrate down', (force) => migrate.down({ target: database.url, ...basic, force })],
    ['migrate redo', (force) => migrate.redo({ target: database.url, ...basic, force })],
    ['db reset', (force) => reset({ target: database.url, ...basic, force })],
    ['db drop', (force) => drop({ target: database.url, force })],
  ];

  it.each(operations)(
    'makes %s refuse --force with another name, for every environment',
    async (_, operate) => {
      const target = database.url;
      for (const environment of [undefined, 'dev'] as const) {
        await migrate.up({ target, ...basic, environment });
        for (const force of ['', 'postgres']) {
          const error: unknown = await operate(force).catch((reason: unknown) => reason);
          expect(error).toMatchObject({ code: 'environment-refused', details: { environment } });
        }
        expect(await migrate.status({ target, ...basic })).toMatchObject({ isCurrent: true });
      }
      await operate(database.name);
    },
  );

  describe('production', () => {
    it.each(operations)(
      'refuses %s unless --force has the name of the database',
      async (_, operate) => {
        const target = database.url;
        await migrate.up({ target, ...basic, environment: 'production' });
        for (const force of [undefined, '', 'postgres', database.name.toUpperCase(), 'true']) {
          expect(await codeOf(operate(force))).toBe('environment-refused');
        }
        expect(await migrate.status({ target, ...basic })).toMatchObject({ isCurrent: true });
        await operate(database.name);
      },
    );

    it('is still marked as production after a forced reset', async () => {
      const target = database.url;
      await migrate.up({ target, ...basic, environment: 'production' });
      await reset({ target, ...basic, force: database.name });
      expect(await codeOf(drop({ target }))).toBe('environment-refused');
    });

    it('gets a hint with the name in quotes when the name has a space', async () => {
      const target = databaseUrl(server, `${database.name}%20two`);
      await create({ target });
      await migrate.up({ target, ...basic, environment: 'production' });
      const error: unknown = await drop({ target }).catch((reason: unknown) => reason);
      expect(isError(error) && error.problems[0]?.hint).toContain(`--force '${database.name} two'`);
      await drop({ target, force: `${database.name} two` });
    });

    it('is dropped when --force has its name in the other spelling of Unicode', async () => {
      const name = `${database.name}_café`.normalize('NFD');
      const target = databaseUrl(server, encodeURIComponent(name));
      await create({ target });
      await migrate.up({ target, ...basic, environment: 'production' });
      expect(await drop({ target, force: name.normalize('NFC') })).toMatchObject({
        isDropped: true,
      });
    });

    it('accepts migrations without --force', async () => {
      const target = database.url;
      await migrate.up({ target, ...basic, steps: 1, environment: 'production' });
      expect(await migrate.up({ target, ...basic })).toMatchObject({ applied: 3 });
    });
  });
});

describe('a database without a mark', () => {
  const users = () =>
    writePairs({
      '20260101_000000_create_users': ['create table users (id text);', 'drop table users;'],
    });

  it('that has rows refuses what destroys them, unless --force is its name', async () => {
    const target = database.url;
    const options = { target, ...users() };
    const operations = [
      (force?: string) => migrate.redo({ ...options, force }),
      (force?: string) => migrate.down({ ...options, force }),
      (force?: string) => reset({ ...options, force }),
      (force?: string) => drop({ target, force }),
    ];
    for (const operate of operations) {
      await migrate.up(options);
      await onServer(target, (sql) => sql`insert into users values ('a')`);
      expect(await operate().catch((reason: unknown) => reason)).toMatchObject({
        code: 'environment-refused',
        details: { environment: undefined },
        problems: [{ evidence: ['there are rows in users'] }],
      });
      expect(await migrate.down({ ...options, dryRun: true })).toMatchObject({ isDryRun: true });
      expect(await migrate.status(options)).toMatchObject({ isCurrent: true });
      await operate(database.name);
    }
  });

  it('that has no rows is rolled back, reset and dropped; so is one of tests that has rows', async () => {
    const target = database.url;
    for (const environment of [undefined, 'test'] as const) {
      const options = { target, ...basic, environment };
      const fill = async () => {
        await migrate.up(options);
        if (environment) await onServer(target, (sql) => sql`insert into coins values ('bitcoin')`);
      };
      await fill();
      expect(await migrate.redo(options)).toMatchObject({ applied: 3 });
      expect(await migrate.down(options)).toMatchObject({ applied: 2 });
      expect(await reset(options)).toMatchObject({ applied: 3 });
      await onServer(target, (sql) => sql`truncate coins cascade`);
      await fill();
      expect(await drop({ target })).toMatchObject({ isDropped: true });
      await create({ target });
    }
  });

  it('refuses a run that would mark it as dev while it has rows, and takes the mark from db mark', async () => {
    const options = { target: database.url, ...users(), environment: 'dev' } as const;
    await migrate.up({ ...options, environment: undefined });
    await database.sql`insert into users values ('a')`;
    await expect(migrate.up(options)).rejects.toMatchObject({
      code: 'environment-refused',
      problems: [
        { evidence: ['there are rows in users'], hint: expect.stringContaining('db mark dev') },
      ],
    });
    await mark(options);
    expect(await migrate.up(options)).toMatchObject({ steps: [], environment: 'dev' });
    expect(await migrate.down(options)).toMatchObject({ applied: 0 });
  });

  it('is reset with the rows that its migrations have written, and with no others', async () => {
    const target = database.url;
    const filled = writePairs({
      '20260101_000000_a': [
        'create table words (word text); insert into words values (1);',
        'drop table words;',
      ],
      '20260101_000001_b': ["update words set word = 'one';", 'select 1;'],
    });
    await migrate.up({ target, ...filled });
    expect(await reset({ target, ...filled })).toMatchObject({ applied: 2 });
    await onServer(target, (sql) => sql`insert into words values ('two')`);
    expect(await codeOf(reset({ target, ...filled }))).toBe('environment-refused');
  });

  it.each([
    [
      'in another schema',
      'create schema app; create table app.orders as select 1',
      'there are rows in app.orders',
    ],
    [
      'in a partition',
      `create table sales (at date) partition by range (at);
      create table sales_2026 partition of sales for values from ('2026-01-01') to ('2027-01-01');
      insert into sales values ('2026-02-02')`,
      'there are rows in sales',
    ],
    [
      'in a materialized view alone',
      'create materialized view sums as select 1 as one',
      'there are rows in sums',
    ],
    [
      'that a restore in one transaction has written with the ledger',
      `create table orders as select 1;
      create temporary table kept as table cryptosense_db.migrations;
      truncate cryptosense_db.migrations; insert into cryptosense_db.migrations table kept;
      update cryptosense_db.ledger set format = format`,
      'there are rows in orders',
    ],
    ['in large objects', 'select lo_create(0)', 'there are large objects'],
  ])('that has rows %s refuses db drop', async (_, statement, fact) => {
    const target = database.url;
    await migrate.up({ target, ...basic });
    await database.sql.unsafe(statement);
    await expect(drop({ target })).rejects.toMatchObject({
      code: 'environment-refused',
      problems: [{ evidence: [fact] }],
    });
  });

  it('that has tables which the role cannot read refuses to be dropped', async () => {
    const role = await createScratchRole(server);
    await database.sql.unsafe(`
      grant create on schema public to ${role.name}; grant create on database ${database.name} to ${role.name}`);
    const target = role.urlOf(database.url);
    await migrate.up({ target, ...basic });
    await database.sql.unsafe(`
      create table hidden (); create table veiled (id int); grant select on veiled to ${role.name};
      alter table veiled enable row level security`);
    await expect(drop({ target })).rejects.toMatchObject({
      code: 'environment-refused',
      problems: [
        {
          evidence: [
            'this role cannot see all rows of hidden',
            'this role cannot see all rows of veiled',
          ],
        },
      ],
    });
    await database.sql.unsafe(`drop owned by ${role.name} cascade`);
    await role.drop();
  });

  it('is told so in the run that creates its ledger, and in no other', async () => {
    const target = database.url;
    const told: string[] = [];
    const onProgress = ({ kind }: ProgressEvent) => void (kind === 'unmarked' && told.push(kind));
    await migrate.up({ target, ...basic, steps: 1, onProgress });
    await migrate.up({ target, ...basic, onProgress });
    expect(told).toEqual(['unmarked']);
    await drop({ target });
    await create({ target });
    await migrate.up({ target, ...basic, environment: 'dev', onProgress });
    expect(told).toEqual(['unmarked']);
  });
});

describe('a database without a ledger', () => {
  it.each([
    ['a table', 'create table orders ()'],
    ['a function', "create function f() returns int language sql as 'select 1'"],
    ['a type', "create type mood as enum ('good')"],
    ['a schema', 'create schema app'],
    ['a large object', 'select lo_create(0)'],
  ])(
    'that has %s is neither dropped nor reset unless --force is its name',
    async (_, statement) => {
      const target = database.url;
      await database.sql.unsafe(statement);
      for (const operate of [() => drop({ target }), () => reset({ target, ...basic })]) {
        expect(await codeOf(operate())).toBe('environment-refused');
      }
      expect(await isThere(database.name)).toBe(true);
      expect(await drop({ target, force: database.name })).toMatchObject({ isDropped: true });
    },
  );

  it('that is empty but for extensions is reset and dropped', async () => {
    const target = database.url;
    await database.sql`create extension pgcrypto`;
    expect(await reset({ target, ...basic })).toMatchObject({ applied: 3 });
    await drop({ target });
    await create({ target });
    expect(await drop({ target })).toMatchObject({ isDropped: true });
  });

  it("is not dropped when it is the server's own", async () => {
    expect(await codeOf(drop({ target: databaseUrl(server, 'postgres') }))).toBe(
      'environment-refused',
    );
  });
});

describe('mark', () => {
  const logged = () => database.sql`
    select event, description, detail from cryptosense_db.migration_log where event = 'mark' order by id`;

  it('marks a database that has no mark, even one without a ledger', async () => {
    const target = database.url;
    expect(await mark({ target, environment: 'dev' })).toMatchObject({
      environment: 'dev',
      before: undefined,
      isChanged: true,
    });
    expect(await mark({ target, environment: 'dev' })).toMatchObject({ isChanged: false });
    expect(await migrate.up({ target, ...basic })).toMatchObject({ environment: 'dev' });
    expect(await logged()).toEqual([
      { event: 'mark', description: 'dev', detail: 'it had no mark' },
    ]);
  });

  it("changes a mark with the database's name only, and the log keeps the one before", async () => {
    const target = database.url;
    await migrate.up({ target, ...basic, environment: 'production' });
    for (const force of [undefined, '', 'postgres']) {
      const error: unknown = await mark({ target, environment: 'dev', force }).catch(
        (reason: unknown) => reason,
      );
      expect(error).toMatchObject({
        code: 'environment-refused',
        details: { environment: 'production' },
      });
    }
    expect(await mark({ target, environment: 'staging', force: database.name })).toMatchObject({
      before: 'production',
      isChanged: true,
    });
    expect(await logged()).toEqual([
      { event: 'mark', description: 'staging', detail: 'it was production' },
    ]);
    expect(await codeOf(migrate.down({ target, ...basic }))).toBe('environment-refused');
    await mark({ target, environment: 'dev', force: database.name });
    expect(await migrate.down({ target, ...basic })).toMatchObject({ environment: 'dev' });
  });
});

describe('wait', () => {
  it('ends at once when the server answers, with or without the database', async () => {
    expect(await wait({ target: database.url })).toMatchObject({
      isReady: true,
      isDatabaseThere: true,
    });
    expect(await wait({ target: databaseUrl(server, 'absent') })).toMatchObject({
      isReady: true,
      isDatabaseThere: false,
    });
  });

  it('waits for a server that starts later, and reports the reason for the wait', async () => {
    const port = await freePort();
    const target = new URL(database.url);
    target.host = `127.0.0.1:${port}`;
    const announced = new EventEmitter();
    const waiting = wait({
      target: target.href,
      onProgress: (event) => announced.emit(event.kind, event),
    });
    const [event] = await once(announced, 'waiting-for-server');
    expect(event.reason).toContain('ECONNREFUSED');
    await openRelay({ port, to: server });
    expect(await waiting).toMatchObject({ isReady: true, isDatabaseThere: true });
  });

  it('reports the last error when its time is over', async () => {
    const port = await freePort();
    const target = `postgresql://user@127.0.0.1:${port}/db`;
    const result = await wait({ target, timeoutMs: 300 });
    expect(result).toMatchObject({ isReady: false, isDatabaseThere: false });
    expect(result.reason).toContain('ECONNREFUSED');
    expect(result.waitedMs).toBeGreaterThanOrEqual(300);
  });

  it('does not wait when the password is wrong', async () => {
    const role = await createScratchRole(server);
    const target = role.urlOf(database.url).replace(role.password, 'wrong');
    expect(await codeOf(wait({ target }))).toBe('login-refused');
    await role.drop();
  });

  it('does not wait when the server refuses a setting of the target', async () => {
    const target = `${database.url}?options=-c%20nonsense=1`;
    expect(await codeOf(wait({ target }))).toBe('server-unreachable');
  });

  it('ends a program for the password when its time is over', async () => {
    const target = resolveTarget(database.url);
    if (target.kind !== 'server') throw new Error('not a server');
    const result = await wait({
      target: { ...target, passwordCommand: ['sleep', '600'] },
      timeoutMs: 1,
    });
    expect(result).toMatchObject({ isReady: false, reason: expect.stringContaining('in time') });
    expect(result.waitedMs).toBeLessThan(10_000);
  });

  it('ends when the signal fires before the server answers', async () => {
    const { port, connected } = await openMutePort();
    const stop = new AbortController();
    const target = `postgresql://user@127.0.0.1:${port}/db`;
    const waiting = codeOf(wait({ target, timeoutMs: 600_000, signal: stop.signal }));
    await connected;
    stop.abort();
    expect(await waiting).toBe('interrupted');
  });
});

describe('an embedded database', () => {
  async function emptyFolderDatabase() {
    const embedded = await createFolderDatabase('empty');
    onTestFinished(embedded.drop);
    return embedded;
  }

  it('is created, reset and dropped in its folder', async () => {
    const folder = join(temporaryFolder(), 'db');
    const target = `embedded:${folder}`;
    expect(await drop({ target })).toMatchObject({ isDropped: false });
    expect(existsSync(folder)).toBe(false);
    expect(await create({ target })).toMatchObject({ isCreated: true });
    expect(await create({ target })).toMatchObject({ isCreated: false });
    expect(await reset({ target, ...basic })).toMatchObject({ applied: 3 });
    expect(await wait({ target })).toMatchObject({ isReady: true, isDatabaseThere: true });
    expect(await drop({ target })).toMatchObject({ isDropped: true });
    expect(existsSync(folder)).toBe(false);
  });

  it('is not created by a command that only reads', async () => {
    const folder = join(temporaryFolder(), 'db');
    const target = `embedded:${folder}`;
    const error: unknown = await migrate.status({ target, ...basic }).catch((reason) => reason);
    expect(isError(error, 'no-such-database') && error.problems[0]?.hint).toContain(
      `cryptosense-db db create --embedded ${folder}`,
    );
    expect(await codeOf(migrate.up({ target, ...basic, dryRun: true }))).toBe('no-such-database');
    expect(await wait({ target })).toMatchObject({ isReady: true, isDatabaseThere: false });
    expect(existsSync(folder)).toBe(false);
    const inMemory = { target: 'embedded::memory:', ...basic };
    expect(await migrate.status(inMemory)).toMatchObject({ isCurrent: false });
  });

  describe('that another process has open', () => {
    let folder: string;
    let target: string;
    let release: () => void;
    beforeEach(async () => {
      const embedded = await emptyFolderDatabase();
      folder = embedded.folder;
      target = embedded.url;
      release = await lockFolder(folder, { timeoutMs: 0 });
    });
    afterEach(() => release());

    it('makes a call wait until the signal fires, and the wait is reported once', async () => {
      const stop = new AbortController();
      const events: ProgressEvent[] = [];
      const running = migrate.up({
        target,
        ...basic,
        signal: stop.signal,
        onProgress: (event) => {
          events.push(event);
          setImmediate(() => stop.abort());
        },
      });
      expect(await codeOf(running)).toBe('interrupted');
      const reason = `another process (pid ${process.pid}) has the folder open`;
      expect(events).toEqual([{ kind: 'waiting-for-server', reason }]);
      release();
      expect(await migrate.up({ target, ...basic })).toMatchObject({ applied: 3 });
    });

    it('is ready after its release', async () => {
      expect(await wait({ target, timeoutMs: 1 })).toMatchObject({ isReady: false });
      const onProgress = ({ kind }: ProgressEvent) => kind === 'waiting-for-server' && release();
      expect(await wait({ target, onProgress })).toMatchObject({
        isReady: true,
        isDatabaseThere: true,
      });
    });
  });

  it("does not remove the user's files in its folder", async () => {
    const { folder, url: target } = await emptyFolderDatabase();
    writeFileSync(join(folder, 'notes.txt'), 'mine');
    await drop({ target });
    expect(readdirSync(folder)).toEqual(['notes.txt']);
  });

  it('is not created in a folder with other files', async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'photos'));
    for (const work of [create, wait]) {
      expect(await codeOf(work({ target: `embedded:${folder}` }))).toBe('embedded-broken');
    }
    expect(await drop({ target: `embedded:${folder}` })).toMatchObject({ isDropped: false });
    expect(readdirSync(folder)).toEqual(['photos']);
  });

  it('is dropped only with its name in `force` when it is marked as production', async () => {
    const { url: target } = await emptyFolderDatabase();
    await migrate.up({ target, ...basic, environment: 'production' });
    expect(await codeOf(drop({ target }))).toBe('environment-refused');
    expect(await drop({ target, force: target })).toMatchObject({ isDropped: true });
  });
});
