import { describe, expect, it, onTestFinished } from 'vitest';
import * as migrate from '../../src/migrations/migrate.ts';
import type { ProgressEvent } from '../../src/progress.ts';
import { connect, type ScratchDatabase } from '../support/databases.ts';
import { fixture } from '../support/fixtures.ts';
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

/** A session in a transaction that has read the table and does not end: a long report. */
async function startReader({ url }: ScratchDatabase, table: string) {
  const sql = connect(url, 1);
  onTestFinished(() => sql.end({ timeout: 1 }));
  await sql.unsafe(`begin; select from ${table}`);
  const [{ pid }] = await sql<[{ pid: number }]>`select pg_backend_pid() as pid`;
  return { pid, end: () => sql.unsafe('commit').execute() };
}

describe('a table that a long query reads', () => {
  it('stays open for other readers while the migration waits, and is altered when the query ends', async () => {
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

  it('is given up on after the retries: the error names the statement, and nothing of the step stays', async () => {
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

  it('takes all steps of a single transaction back before each retry', async () => {
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
  it('waits for a long query as long as it takes, since it blocks nobody meanwhile', async () => {
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
