import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, inject, it, onTestFinished, vi } from 'vitest';
import { createDatabase, type DatabaseOptions } from '../src/typed-database.ts';
import {
  createScratchDatabase,
  createScratchRole,
  type ScratchDatabase,
} from './support/databases.ts';
import { errorOf, wordsOf } from './support/errors.ts';
import { temporaryFolder } from './support/fixtures.ts';
import { createFolderDatabase } from './support/schema-database.ts';

let scratch: ScratchDatabase;
const opened: ReturnType<typeof createDatabase>[] = [];

beforeEach(async () => {
  scratch = await createScratchDatabase(inject('postgresUrl'));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await Promise.all(opened.splice(0).map((db) => db.destroy()));
  await scratch.drop();
});

function open(options: DatabaseOptions = {}) {
  const db = createDatabase({ target: scratch.url, applicationName: 'service', ...options });
  opened.push(db);
  return db;
}

type Db = ReturnType<typeof createDatabase>;

async function pidOf(db: Db): Promise<number> {
  const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(db);
  return rows[0]?.pid ?? 0;
}

/** The backends that the server lists under the name, in order of their ids. */
async function backends(name = 'service'): Promise<readonly number[]> {
  const rows = await scratch.sql<{ pid: number }[]>`
    select pid from pg_stat_activity where application_name = ${name} order by pid`;
  return rows.map(({ pid }) => pid);
}

async function terminate(pid: number): Promise<void> {
  await scratch.sql`select pg_terminate_backend(${pid})`;
  await vi.waitFor(async () => expect(await backends()).not.toContain(pid));
}

/** A lock of the server. `waitFor` is a query that waits for its release and returns the id of its backend. */
async function holdLock() {
  const holder = await scratch.sql.reserve();
  await holder`select pg_advisory_lock(1)`;
  return {
    waitFor: async (db: Db): Promise<number> => {
      const { rows } = await sql<{ pid: number }>`
        select pg_backend_pid() as pid, pg_advisory_xact_lock_shared(1)`.execute(db);
      return rows[0]?.pid ?? 0;
    },
    /** Waits until this number of queries waits for the release. */
    hasWaiters: (count: number) =>
      vi.waitFor(async () => {
        const waiters = await scratch.sql`
          select from pg_stat_activity
          where datname = current_database() and wait_event = 'advisory'`;
        expect(waiters).toHaveLength(count);
      }, untilDone),
    release: async () => {
      await holder`select pg_advisory_unlock(1)`;
      holder.release();
    },
  };
}

/** postgres.js reports the end of the connection, not the server's reason for it. */
const lost = expect.stringMatching(/^(57P01$|CONNECTION_|ECONNRESET|EPIPE)/);

const untilDone = { timeout: 20_000, interval: 20 };

describe('connections', () => {
  it('are opened by the first query and reused', async () => {
    const db = open();
    expect(await backends()).toEqual([]);
    expect([await pidOf(db), await pidOf(db)]).toEqual([
      ...(await backends()),
      ...(await backends()),
    ]);
  });

  it('are opened for each of several queries at the same time, up to the maximum', async () => {
    const db = open({ maxConnections: 3, connectTimeoutMs: 20_000 });
    const lock = await holdLock();
    const work = Array.from({ length: 9 }, () => lock.waitFor(db));
    await lock.hasWaiters(3);
    expect(await backends()).toHaveLength(3);
    await lock.release();
    expect(new Set(await Promise.all(work)).size).toBe(3);
    expect(await backends()).toHaveLength(3);
  });

  it('are closed after the idle timeout', async () => {
    const db = open({ idleTimeoutMs: 50 });
    await pidOf(db);
    await vi.waitFor(async () => expect(await backends()).toEqual([]), untilDone);
    expect(await pidOf(db)).toBeGreaterThan(0);
  });

  it('make a query fail after the connect timeout when all are in use', async () => {
    const db = open({ maxConnections: 1, connectTimeoutMs: 2_000 });
    await db.transaction().execute(async () => {
      await expect(pidOf(db)).rejects.toMatchObject({
        code: 'pool-exhausted',
        details: { connections: 1, waitedMs: 2_000 },
      });
    });
    expect(await pidOf(db)).toBeGreaterThan(0);
  });

  it('are given to the query that has waited longest', async () => {
    const db = open({ maxConnections: 1, connectTimeoutMs: 20_000 });
    const order: number[] = [];
    await Promise.all(
      [1, 2, 3].map(async (turn) => {
        await pidOf(db);
        order.push(turn);
      }),
    );
    expect(order).toEqual([1, 2, 3]);
  });

  it('have the application name from the options or from the URL', async () => {
    const url = new URL(scratch.url);
    url.searchParams.set('application_name', 'from-the-url');
    const db = open({ target: url.href, applicationName: undefined });
    const pid = await pidOf(db);
    expect(await backends('from-the-url')).toEqual([pid]);
  });
});

describe("createDatabase({ role: 'replica' })", () => {
  it('reads from a primary where the target names no standby, and refuses writes', async () => {
    const db = open({ role: 'replica' });
    expect(await pidOf(db)).toBeGreaterThan(0);
    const error = await errorOf('read-only', () => sql`create table t (id int)`.execute(db));
    expect(error.message).toContain('cannot execute CREATE TABLE in a read-only transaction');
    await errorOf('read-only', () =>
      db.transaction().execute((each) => sql`create table t (id int)`.execute(each)),
    );
    expect(await pidOf(db)).toBeGreaterThan(0);
  });

  it('refuses another role', async () => {
    const role = 'standby' as 'replica';
    expect((await errorOf('bad-configuration', () => open({ role }))).message).toContain(
      'it can be "primary", "replica"',
    );
  });
});

describe('createDatabase({ password })', () => {
  it('logs each new connection in with what the function returns then', async () => {
    const role = await createScratchRole(inject('postgresUrl'), { password: 'token-1' });
    let token = 'token-1';
    let calls = 0;
    const password = async () => {
      calls += 1;
      return token;
    };
    const target = role.urlOf(scratch.url).replace(':token-1@', '@');
    const db = open({ target, password, maxConnections: 1 });
    const first = await pidOf(db);
    expect([await pidOf(db), calls]).toEqual([first, 1]);

    token = 'token-2';
    await scratch.sql.unsafe(`alter role ${role.name} password 'token-2'`);
    await terminate(first);
    expect(await vi.waitFor(() => pidOf(db), untilDone)).not.toBe(first);
    expect(calls).toBe(2);

    token = 'token-3';
    await terminate(await pidOf(db));
    const error = await vi.waitFor(() => errorOf('login-refused', () => pidOf(db)), untilDone);
    expect(wordsOf(error)).toContain('what the function "password" of createDatabase returns');
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('token');
    await db.destroy();
    await role.drop();
  });

  it('rejects the query when the function fails, and asks again for the next query', async () => {
    let isReady = false;
    const password = () => {
      if (isReady) return decodeURIComponent(new URL(scratch.url).password);
      throw new Error('the metadata service is away');
    };
    const db = open({ password });
    const error = await errorOf('no-password', () => pidOf(db));
    expect(error.cause).toMatchObject({ message: 'the metadata service is away' });
    isReady = true;
    expect(await pidOf(db)).toBeGreaterThan(0);
  });
});

describe('a backend that is terminated', () => {
  it('is replaced when it is idle', async () => {
    const db = open();
    const first = await pidOf(db);
    await terminate(first);
    expect(await vi.waitFor(() => pidOf(db), untilDone)).not.toBe(first);
  });

  it('fails at most one query, and the next query gets another connection', async () => {
    const db = open({ maxConnections: 1 });
    for (let turn = 0; turn < 10; turn += 1) {
      await terminate(await pidOf(db));
      await pidOf(db).catch(() => {});
      expect(await pidOf(db)).toBeGreaterThan(0);
    }
  });

  it('fails only the statement that it runs', async () => {
    const db = open();
    const running = sql`select pg_sleep(600)`.execute(db);
    const outcome = expect(running).rejects.toMatchObject({ code: lost });
    const [pid = 0] = await vi.waitFor(async () => {
      const asleep = await scratch.sql<{ pid: number }[]>`
        select pid from pg_stat_activity
        where application_name = 'service' and wait_event = 'PgSleep'`;
      expect(asleep).toHaveLength(1);
      return asleep.map(({ pid }) => pid);
    }, untilDone);
    await terminate(pid);
    await outcome;
    expect(await pidOf(db)).toBeGreaterThan(0);
  });

  it('fails only the transaction that is open on it', async () => {
    const db = open();
    const run = db.transaction().execute(async (transaction) => {
      await terminate(await pidOf(transaction));
      await pidOf(transaction);
    });
    await expect(run).rejects.toMatchObject({ code: lost });
    expect(await pidOf(db)).toBeGreaterThan(0);
  });

  it('leaves no open connection and no waiting caller after a hundred losses', async () => {
    const db = open({ maxConnections: 4, connectTimeoutMs: 20_000 });
    const work = Array.from({ length: 100 }, () =>
      db.transaction().execute(async (transaction) => {
        const pid = await pidOf(transaction);
        const end = scratch.sql`select pg_terminate_backend(${pid})`;
        await sql`select 1`.execute(transaction).catch(() => {});
        await end;
        await sql`select 1`.execute(transaction);
      }),
    );
    const outcomes = await Promise.allSettled(work);
    expect(outcomes.every(({ status }) => status === 'rejected')).toBe(true);
    expect(await pidOf(db)).toBeGreaterThan(0);
    expect((await backends()).length).toBeLessThanOrEqual(4);
  });
});

describe('a query that cannot be sent', () => {
  const tooMany = Array.from({ length: 65_534 }, () => 1);
  it.each([
    ['a parameter that is undefined', (db: Db) => sql`select ${undefined}`.execute(db)],
    ['too many parameters', (db: Db) => sql`select ${sql.join(tooMany)}`.execute(db)],
    ['COPY', (db: Db) => sql`copy (select 1) to stdout`.execute(db)],
  ])('is rejected each time for %s, and the connection stays usable', async (_what, run) => {
    const db = open({ maxConnections: 1 });
    const first = await pidOf(db);
    for (let turn = 0; turn < 3; turn += 1) await expect(run(db)).rejects.toThrow(/parameter|COPY/);
    expect(await pidOf(db)).toBe(first);
  });
});

describe('values whose type depends on the column', () => {
  it('are stored unchanged in JSONB and in arrays', async () => {
    await scratch.sql`create table kept (id integer, doc jsonb, flags boolean[], times timestamptz[])`;
    const db = open().withTables<{
      kept: { id: number; doc: unknown; flags: boolean[] | null; times: Date[] | null };
    }>();
    const docs = [
      true,
      false,
      [true, false],
      ['a'],
      [],
      [[1]],
      { a: [null, true] },
      'text',
      1.5,
      null,
    ];
    await db
      .insertInto('kept')
      .values(docs.map((doc, id) => ({ id, doc, flags: null, times: null })))
      .execute();
    const rows = await db.selectFrom('kept').select('doc').orderBy('id').execute();
    expect(rows.map(({ doc }) => doc)).toEqual(docs);

    const arrays = { flags: [true, false], times: [new Date('2026-11-20T12:00:00Z')] };
    await db
      .insertInto('kept')
      .values({ id: 99, doc: null, ...arrays })
      .execute();
    const where = db.selectFrom('kept').where(sql<boolean>`${true}`, '=', true);
    expect(await where.where('id', '=', 99).select(['flags', 'times']).execute()).toEqual([arrays]);
  });
});

describe('destroy()', () => {
  it('waits for running queries, closes every connection, and refuses new queries', async () => {
    const db = open();
    await Promise.all([pidOf(db), pidOf(db)]);
    const lock = await holdLock();
    const running = lock.waitFor(db);
    await lock.hasWaiters(1);
    const destroyed = db.destroy();
    await lock.release();
    expect(await running).toBeGreaterThan(0);
    await destroyed;
    await vi.waitFor(async () => expect(await backends()).toEqual([]), untilDone);
    await expect(pidOf(db)).rejects.toThrow();
  });

  it('rejects queries that wait for a connection', async () => {
    const db = open({ maxConnections: 1, connectTimeoutMs: 20_000 });
    const lock = await holdLock();
    const busy = lock.waitFor(db);
    const waiting = expect(pidOf(db)).rejects.toMatchObject({ code: 'pool-closed' });
    await lock.hasWaiters(1);
    const destroyed = db.destroy();
    await waiting;
    await lock.release();
    await Promise.all([busy, destroyed]);
  });

  it('succeeds before the first query without a server', async () => {
    const db = createDatabase({ target: 'postgresql://u@127.0.0.1:1/d' });
    await expect(db.destroy()).resolves.toBeUndefined();
  });
});

describe('the target', () => {
  it('is read from the environment by the rules of the command line', async () => {
    vi.stubEnv('DATABASE_URL', scratch.url);
    const db = createDatabase();
    opened.push(db);
    const { rows } = await sql<{ name: string }>`select current_database() as name`.execute(db);
    expect(rows).toEqual([{ name: scratch.name }]);
  });

  it('is refused when it is missing or faulty', () => {
    for (const name of Object.keys(process.env)) {
      if (/^(DATABASE_|PG)/.test(name)) vi.stubEnv(name, '');
    }
    expect(() => createDatabase()).toThrow(expect.objectContaining({ code: 'no-target' }));
    expect(() => createDatabase({ target: 'postgresql://h:port/d' })).toThrow(
      expect.objectContaining({ code: 'bad-configuration' }),
    );
    for (const value of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31]) {
      for (const name of ['maxConnections', 'idleTimeoutMs', 'connectTimeoutMs']) {
        expect(() => createDatabase({ target: scratch.url, [name]: value })).toThrow(
          expect.objectContaining({ code: 'bad-configuration' }),
        );
      }
    }
  });

  it('gives the error codes of the command line when it cannot be reached', async () => {
    const nowhere = open({ target: 'postgresql://u@127.0.0.1:1/d', connectTimeoutMs: 500 });
    await expect(pidOf(nowhere)).rejects.toMatchObject({ code: 'server-unreachable' });
    const url = new URL(scratch.url);
    url.pathname = '/not_there_at_all';
    await expect(pidOf(open({ target: url.href }))).rejects.toMatchObject({
      code: 'no-such-database',
    });
  });

  it('is connected by TLS when the URL requires TLS', async () => {
    const url = new URL(scratch.url);
    url.searchParams.set('sslmode', 'require');
    const [{ has } = { has: false }] = await scratch.sql<{ has: boolean }[]>`
      select current_setting('ssl')::boolean as has`;
    const answer = pidOf(open({ target: url.href }));
    if (has) expect(await answer).toBeGreaterThan(0);
    else {
      await expect(answer).rejects.toMatchObject({
        code: 'server-unreachable',
        message: expect.stringContaining('sslmode requires TLS'),
      });
    }
  });

  it('can be the embedded engine, whose single session the queries use in turn', async () => {
    const embedded = await createFolderDatabase('empty');
    onTestFinished(embedded.drop);
    const db = open({ target: embedded.url });
    const answers = await Promise.all(
      [1, 2, 3].map((value) => sql<{ value: number }>`select ${value}::int as value`.execute(db)),
    );
    expect(answers.map(({ rows }) => rows[0]?.value)).toEqual([1, 2, 3]);
    await db.destroy();
  });

  it('can be the embedded engine, read-only', async () => {
    const embedded = await createFolderDatabase('empty');
    onTestFinished(embedded.drop);
    const db = open({ target: embedded.url, role: 'replica' });
    const { rows } = await sql<{ one: number }>`select 1 as one`.execute(db);
    expect(rows).toEqual([{ one: 1 }]);
    await errorOf('read-only', () => sql`create table t (id int)`.execute(db));
  });

  it('can be an embedded engine that a later query starts after the first query failed', async () => {
    const folder = join(temporaryFolder(), 'database');
    writeFileSync(folder, 'in the way');
    const db = open({ target: `embedded:${folder}` });
    const ask = () => sql`select 1 as value`.execute(db);
    await expect(ask()).rejects.toMatchObject({ code: expect.stringMatching(/^(embedded|file)-/) });
    rmSync(folder);
    expect((await ask()).rows).toEqual([{ value: 1 }]);
    await db.destroy();
  });
});
