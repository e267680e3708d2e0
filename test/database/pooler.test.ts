import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, inject, it, onTestFinished } from 'vitest';
import { drop, wait } from '../../src/databases/lifecycle.ts';
import * as migrate from '../../src/migrations/migrate.ts';
import { isError } from '../../src/runtime/errors.ts';
import { createDatabase } from '../../src/typed-database.ts';
import { createScratchDatabase, type ScratchDatabase } from '../support/databases.ts';
import { freePort } from '../support/embedded-postgres.ts';
import { errorOf, wordsOf } from '../support/errors.ts';
import { fixture, writePairs } from '../support/fixtures.ts';

const binary = ['pgbouncer', '/usr/sbin/pgbouncer'].find(
  (path) => spawnSync(path, ['--version']).status === 0,
);
const isRoot = process.getuid?.() === 0;
const basic = fixture('cli-basic');
let database: ScratchDatabase;

beforeEach(async () => {
  database = await createScratchDatabase(inject('postgresUrl'));
});
afterEach(() => database?.drop());

interface Pool {
  readonly mode: 'session' | 'transaction' | 'statement';
  readonly size?: number;
  /** The database that the pooler takes for the test's. Default: the test's. */
  readonly instead?: string;
  /** Parameters of the login that the pooler leaves out. */
  readonly ignored?: string;
}

/** A PgBouncer of the test's own in front of its database; its URL. */
async function startPooler({ mode, size = 5, instead, ignored = '' }: Pool): Promise<string> {
  const { hostname, port: serverPort, username, password } = new URL(database.url);
  const folder = mkdtempSync(join(tmpdir(), 'cryptosense-db-pgbouncer-'));
  const port = await freePort();
  const server = `host=${hostname} port=${serverPort} user=${username} password=${password}`;
  const settings = join(folder, 'pgbouncer.ini');
  writeFileSync(
    settings,
    `[databases]
${instead === undefined ? '' : `${database.name} = ${server} dbname=${instead}`}
* = ${server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = ${mode}
default_pool_size = ${size}
ignore_startup_parameters = ${ignored}
`,
  );
  chmodSync(folder, 0o755);
  // It refuses to run as root.
  const child = isRoot
    ? spawn(binary ?? '', ['--quiet', '--user', 'nobody', settings], { stdio: 'ignore' })
    : spawn(binary ?? '', ['--quiet', settings], { stdio: 'ignore' });
  onTestFinished(async () => {
    await stop(child);
    rmSync(folder, { recursive: true });
  });
  const url = `postgresql://${username}:${password}@127.0.0.1:${port}/${database.name}`;
  expect(await wait({ target: url, timeoutMs: 20_000 })).toMatchObject({ isReady: true });
  return url;
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
}

async function tables(): Promise<readonly string[]> {
  const rows = await database.sql<{ name: string }[]>`
    select tablename as name from pg_tables where schemaname = 'public' order by 1`;
  return rows.map(({ name }) => name);
}

describe.skipIf(binary === undefined)(
  `behind PgBouncer${binary ? '' : ' (skipped: pgbouncer is not installed here)'}`,
  () => {
    it.each<Pool>([
      { mode: 'transaction', size: 1 },
      { mode: 'transaction', size: 5 },
      { mode: 'statement', size: 1 },
    ])('refuses a run in $mode mode with $size connections, and changes nothing', async (pool) => {
      const target = await startPooler(pool);
      const error: unknown = await migrate.up({ target, ...basic }).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      expect(isError(error) ? error.code : error).toBe('pooler-refused');
      expect(await tables()).toEqual([]);
      const locks = await database.sql`
        select from pg_locks l join pg_database d on d.oid = l.database
        where locktype = 'advisory' and datname = ${database.name}`;
      expect(locks).toHaveLength(0);
    });

    it.each([1, 2])('runs every command in session mode with %i connections', async (size) => {
      const target = await startPooler({ mode: 'session', size });
      expect(await migrate.up({ target, ...basic })).toMatchObject({ applied: 3 });
      expect(await migrate.status({ target, ...basic })).toMatchObject({ isCurrent: true });
      expect(await migrate.down({ target, ...basic, all: true })).toMatchObject({ applied: 0 });
      expect(await tables()).toEqual([]);
    });

    it('completes several runs at once in session mode with one connection', async () => {
      const target = `${await startPooler({ mode: 'session', size: 1 })}?connect_timeout=60`;
      const runs = await Promise.all([1, 2].map(() => migrate.up({ target, ...basic })));
      expect(runs.flatMap(({ steps }) => steps)).toHaveLength(3);
      expect(await tables()).toEqual(['coins', 'quotes']);
    });

    it('cancels the running statement in session mode when the signal fires', async () => {
      const target = await startPooler({ mode: 'session' });
      const folders = writePairs({
        '20260101_000000_sleep': ['SELECT pg_sleep(600);', 'SELECT 1;'],
      });
      const stopping = new AbortController();
      const error: unknown = await migrate
        .up({
          target,
          ...folders,
          signal: stopping.signal,
          onProgress: ({ kind }) => kind === 'step-started' && stopping.abort(),
        })
        .then(
          () => undefined,
          (reason: unknown) => reason,
        );
      expect(isError(error) ? error.code : error).toBe('interrupted');
    });

    it.each([1, 3])(
      'serves createDatabase in transaction mode with %i connections',
      async (size) => {
        const target = await startPooler({ mode: 'transaction', size });
        const db = createDatabase({ target, prepare: false, connectTimeoutMs: 20_000 });
        onTestFinished(() => db.destroy());
        const work = Array.from({ length: 40 }, (_, turn) =>
          db.transaction().execute(async (transaction) => {
            const { rows } = await sql<{ turn: number; list: (number | null)[] }>`
            select ${turn}::integer as turn, array[${turn}::integer, null] as list`.execute(
              transaction,
            );
            return rows[0];
          }),
        );
        const answers = await Promise.all(work);
        expect(answers).toEqual(answers.map((_, turn) => ({ turn, list: [turn, null] })));
      },
    );

    it("refuses createDatabase({ role: 'replica' }) before a primary, where writes could pass", async () => {
      const read = async (pool: Pool) => {
        const db = createDatabase({ target: await startPooler(pool), role: 'replica' });
        onTestFinished(() => db.destroy());
        return sql`select 1`.execute(db);
      };
      const refused = await errorOf('server-unreachable', () => read({ mode: 'transaction' }));
      expect(wordsOf(refused)).toContain('name the server itself');
      await errorOf('server-unsuitable', () =>
        read({ mode: 'transaction', ignored: 'default_transaction_read_only' }),
      );
    });

    it('refuses to drop a database when the pooler leads the guard to another one', async () => {
      await migrate.up({ target: database.url, ...basic, environment: 'production' });
      const target = await startPooler({ mode: 'session', instead: 'template1' });
      await expect(drop({ target })).rejects.toMatchObject({ code: 'environment-refused' });
      expect(await tables()).not.toEqual([]);
    });

    it('writes and reads times and bytes alike on every connection in transaction mode', async () => {
      for (const setting of [
        "timezone = 'Asia/Tokyo'",
        'datestyle = German',
        'bytea_output = escape',
      ])
        await database.sql.unsafe(`alter database ${database.name} set ${setting}`);
      const target = await startPooler({ mode: 'transaction', size: 3 });
      const db = createDatabase({ target, maxConnections: 6, connectTimeoutMs: 20_000 });
      onTestFinished(() => db.destroy());
      const [at, bytes] = [new Date('2026-03-01T20:00:00Z'), Buffer.from([0, 92, 255])];
      const work = Array.from({ length: 60 }, async () => {
        const { rows } = await sql`
          select ${at}::timestamptz as at, ${at}::timestamptz::date::text as day, ${bytes}::bytea as bytes,
            (select count(*) from generate_series(1, 20000)) as counted`.execute(db);
        return rows[0];
      });
      const answer = { at, day: '2026-03-01', bytes, counted: '20000' };
      expect(await Promise.all(work)).toEqual(work.map(() => answer));
    });

    it('answers migrate status in every mode', async () => {
      const target = await startPooler({ mode: 'transaction' });
      expect(await migrate.status({ target, ...basic })).toMatchObject({ isCurrent: false });
    });
  },
);
