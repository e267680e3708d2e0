import { describe, expect, it, onTestFinished } from 'vitest';
import * as migrate from '../../src/migrations/migrate.ts';
import type { ProgressEvent } from '../../src/runtime/progress.ts';
import { connect, type ScratchDatabase } from '../support/databases.ts';
import { fixture, writePairs } from '../support/fixtures.ts';
import {
  expectAgreement,
  loggedEvents,
  publicTables,
  recordedVersions,
  scratchDatabase,
  until,
} from '../support/recovery.ts';

const hotTable = fixture('recovery-hot-table');
const concurrentIndex = fixture('recovery-concurrent-index');

/** A session in an open transaction that has read the table, like a long report. */
async function startReader({ url }: ScratchDatabase, table: string) {
  const sql = connect(url, 1);
  onTestFinished(() => sql.end({ timeout: 1 }));
  await sql.unsafe(`begin; select from ${table}`);
  const [{ pid }] = await sql<[{ pid: number }]>`select pg_backend_pid() as pid`;
  return { pid, end: () => sql.unsafe('commit').execute() };
}

describe('a table that a long query reads', () => {
  it('can be read by other sessions while the migration waits, and is altered when the query ends', async () => {
    const database = await scratchDatabase();
    const { sql } = database;
    await migrate.up({ target: database.url, ...hotTable, steps: 1 });
    const reader = await startReader(database, 'orders');
    const retries: ProgressEvent[] = [];
    const run = migrate.up({
      target: database.url,
      ...hotTable,
      tableLockTimeoutMs: 50,
      tableLockRetries: 20,
      onProgress: (event) => event.kind === 'step-retried' && retries.push(event),
    });
    await until('a retry', async () => retries.length > 0);
    expect(await sql`select id from orders`).toHaveLength(2);
    await expectAgreement(sql, hotTable);
    await reader.end();
    expect(await run).toMatchObject({ applied: 2, pending: [] });
    expect(retries[0]).toMatchObject({
      step: { version: '20260101_000200' },
      reason: 'canceling statement due to lock timeout',
    });
    expect(await sql`select note from orders`).toHaveLength(2);
    await expectAgreement(sql, hotTable);
  });

  it('fails the migration after the last retry, and the step is rolled back', async () => {
    const database = await scratchDatabase();
    await migrate.up({ target: database.url, ...hotTable, steps: 1 });
    await startReader(database, 'orders');
    const run = migrate.up({
      target: database.url,
      ...hotTable,
      tableLockTimeoutMs: 20,
      tableLockRetries: 1,
    });
    await expect(run).rejects.toMatchObject({
      code: 'migration-failed',
      details: {
        version: '20260101_000200',
        sqlState: '55P03',
        completed: [],
        pending: [],
        location: { line: 7, column: 1 },
      },
      problems: [{ hint: expect.stringContaining('--table-lock-retries') }],
    });
    expect(await publicTables(database.sql)).toEqual(['orders']);
    expect(await recordedVersions(database.sql)).toEqual(['20260101_000100']);
    expect(await loggedEvents(database.sql)).toEqual([
      'apply 20260101_000100',
      'failure 20260101_000200',
    ]);
  });

  it('is named with the session that reads it, and with its query without values', async () => {
    const database = await scratchDatabase();
    await migrate.up({ target: database.url, ...hotTable, steps: 1 });
    const sql = connect(database.url, 1);
    onTestFinished(() => sql.end({ timeout: 1 }));
    await sql.unsafe("begin; select 'secret' from orders");
    const [{ pid }] = await sql<[{ pid: number }]>`
      select pg_backend_pid() as pid, ${'secret'}::text, 'secret' as word from orders`;
    const run = migrate.up({
      target: database.url,
      ...hotTable,
      tableLockTimeoutMs: 1_500,
      tableLockRetries: 0,
    });
    const error: unknown = await run.catch((reason: unknown) => reason);
    const words = JSON.stringify(error);
    expect(words).toContain(`blocked by pid ${pid}`);
    expect(words).toContain('select pg_backend_pid() as pid, $1::text, ? as word');
    expect(words).not.toContain('secret');
  });

  it('fails the migration at once with a timeout of 0', async () => {
    const database = await scratchDatabase();
    await migrate.up({ target: database.url, ...hotTable, steps: 1 });
    await startReader(database, 'orders');
    const run = migrate.up({
      target: database.url,
      ...hotTable,
      tableLockTimeoutMs: 0,
      tableLockRetries: 0,
    });
    await expect(run).rejects.toMatchObject({ details: { sqlState: '55P03' } });
    await expectAgreement(database.sql, hotTable);
  });

  it('rolls all steps of a single transaction back before each retry', async () => {
    const database = await scratchDatabase();
    await migrate.up({ target: database.url, ...hotTable });
    await migrate.down({ target: database.url, ...hotTable });
    const reader = await startReader(database, 'orders');
    const run = migrate.up({
      target: database.url,
      ...hotTable,
      singleTransaction: true,
      tableLockTimeoutMs: 50,
      tableLockRetries: 20,
      onProgress: ({ kind }) => kind === 'step-retried' && void reader.end(),
    });
    expect(await run).toMatchObject({ applied: 2 });
    await expectAgreement(database.sql, hotTable);
  });
});

describe('an index that is built concurrently', () => {
  it('waits for a long query without a timeout, and blocks no other session', async () => {
    const database = await scratchDatabase();
    await migrate.up({ target: database.url, ...concurrentIndex, steps: 1 });
    const reader = await startReader(database, 'prices');
    const writer = connect(database.url, 1);
    onTestFinished(() => writer.end({ timeout: 1 }));
    await writer.unsafe('begin; insert into prices values (101, 101)');
    const retries: ProgressEvent[] = [];
    const run = migrate.up({
      target: database.url,
      ...concurrentIndex,
      tableLockTimeoutMs: 50,
      tableLockRetries: 0,
      onProgress: (event) => event.kind === 'step-retried' && retries.push(event),
    });
    run.catch(() => {});
    const longerThanTheTimeout = () => database.sql`
      select from pg_stat_activity
      where query ilike 'create index concurrently%' and datname = current_database()
        and wait_event_type = 'Lock' and clock_timestamp() - query_start > interval '300 ms'`;
    await until('the build has waited', async () => (await longerThanTheTimeout())[0]);
    await database.sql`insert into prices values (102, 102)`;
    await writer.unsafe('commit');
    await reader.end();
    expect(await run).toMatchObject({ applied: 2 });
    expect(retries).toEqual([]);
    expect(await database.sql`select from pg_index where not indisvalid`).toHaveLength(0);
  });
});

describe('a statement outside a transaction that waits for a lock', () => {
  const version = '20260101_000100';
  const impatient = { tableLockTimeoutMs: 50, tableLockRetries: 20 };

  /** A session that has changed the rows of a table, and does not commit. */
  async function startWriter({ url }: ScratchDatabase, table: string) {
    const sql = connect(url, 1);
    onTestFinished(() => sql.end({ timeout: 1 }));
    await sql.unsafe(`begin; update ${table} set n = n`);
    return { end: () => sql.unsafe('commit').execute() };
  }

  async function scene(statements: readonly string[]) {
    const database = await scratchDatabase();
    await database.sql`create table hot as select 1 as n`;
    await database.sql`create table parts (n integer)`;
    const up = ['-- Transaction: none', ...statements, ''].join('\n');
    const folders = writePairs({ [`${version}_change`]: [up, 'SELECT 1;\n'] });
    const retries: ProgressEvent[] = [];
    const writer = await startWriter(database, 'hot');
    return { ...database, folders, retries, writer };
  }

  it.each([
    [
      'a DO block',
      ['DO $$ BEGIN INSERT INTO parts VALUES (1); COMMIT; UPDATE hot SET n = 2; END $$;'],
    ],
    [
      'a procedure',
      [
        'CREATE PROCEDURE work() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO parts VALUES (1); COMMIT; UPDATE hot SET n = 2; END $$;',
        'CALL work();',
      ],
    ],
  ])(
    'is not tried again when it is %s that has committed a part of its work',
    async (_what, up) => {
      const { url, sql, folders, retries } = await scene(up);
      const run = migrate.up({
        target: url,
        ...folders,
        ...impatient,
        onProgress: (event) => event.kind === 'step-retried' && retries.push(event),
      });
      await expect(run).rejects.toMatchObject({
        code: 'migration-failed',
        details: { version, sqlState: '55P03', location: { line: up.length + 1 } },
      });
      expect(retries).toEqual([]);
      expect(await sql`select n from parts`).toEqual([{ n: 1 }]);
      expect(await recordedVersions(sql)).toEqual([]);
    },
  );

  it.each([
    ['a plain statement', ['UPDATE hot SET n = 2;']],
    [
      'a concurrent build of an index with its own timeout',
      ["SET lock_timeout = '50ms';", 'CREATE INDEX CONCURRENTLY hot_n ON hot (n);'],
    ],
  ])('is tried again when it is %s', async (_what, up) => {
    const { url, sql, folders, retries, writer } = await scene([
      'INSERT INTO parts VALUES (1);',
      ...up,
    ]);
    await migrate.up({
      target: url,
      ...folders,
      ...impatient,
      onProgress: (event) => {
        if (event.kind === 'step-retried' && retries.push(event) === 1) void writer.end();
      },
    });
    expect(retries.length).toBeGreaterThan(0);
    expect(await sql`select n from parts`).toEqual([{ n: 1 }]);
    expect(await sql`select from pg_index where not indisvalid`).toHaveLength(0);
    expect(await recordedVersions(sql)).toEqual([version]);
  });
});
