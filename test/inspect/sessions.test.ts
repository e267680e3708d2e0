import { describe, expect, it, onTestFinished } from 'vitest';
import { setClock } from '../support/clock.ts';
import { connect, type ScratchDatabase } from '../support/databases.ts';
import { answerOf, inCountedSession } from '../support/inspection.ts';
import { scratchDatabase, until } from '../support/recovery.ts';

/** A session of the test, which has run these statements. */
async function startSession(
  { url }: ScratchDatabase,
  name: string,
  ...statements: readonly string[]
) {
  const sql = connect(`${url}?application_name=${name}`, 1);
  onTestFinished(() => sql.end({ timeout: 1 }));
  for (const statement of statements) await sql.unsafe(statement);
  const [{ pid }] = await sql<[{ pid: number }]>`select pg_backend_pid() as pid`;
  return { pid, sql };
}

async function withItems(): Promise<ScratchDatabase> {
  const database = await scratchDatabase();
  await database.sql`create table items (id int primary key, name text)`;
  await database.sql`insert into items values (1, 'first')`;
  return database;
}

describe('activity', () => {
  it('shows sessions in a transaction, the oldest first, without texts of statements', async () => {
    const database = await withItems();
    const first = await startSession(database, 'first', 'begin', "select 'secret' from items");
    const second = await startSession(database, 'second', 'begin; select 1');
    await startSession(database, 'outside', 'select 1');
    const { rows, advice } = await answerOf(database.url, 'activity');
    expect(rows).toMatchObject([
      { pid: first.pid, application: 'first', state: 'idle in transaction' },
      { pid: second.pid, application: 'second' },
    ]);
    expect(JSON.stringify(rows)).not.toContain('secret');
    // Both are young.
    expect(advice).toEqual([]);
  });

  it('says how to end a transaction that is open for ten minutes, and the statement ends it', async () => {
    const database = await withItems();
    const idle = await startSession(database, 'idle', 'begin', 'select 1');
    const busy = await startSession(database, 'busy');
    const cancelled = expect(busy.sql.unsafe('select pg_sleep(60)')).rejects.toThrow(
      'user request',
    );
    const run = (...statements: readonly string[]) =>
      inCountedSession(database.url, async (sql) => {
        for (const statement of statements) await sql.unsafe(statement);
      });
    const later = `pg_catalog.real_clock_timestamp() + interval '10 minutes'`;
    await setClock({ run }, later, 'clock_timestamp');
    const look = () => answerOf(database.url, 'activity');
    await expect.poll(async () => (await look()).advice.length).toBe(2);
    const { advice } = await look();
    const statements = advice.map((each) => /`([^`]+)`/.exec(each)?.[1] ?? '');
    expect([...statements].sort()).toEqual([
      `select pg_cancel_backend(${busy.pid})`,
      `select pg_terminate_backend(${idle.pid})`,
    ]);
    await run(...statements);
    await cancelled;
    await expect.poll(async () => (await look()).rows).toEqual([]);
  });

  it('has no row where no session is in a transaction', async () => {
    const database = await withItems();
    expect(await answerOf(database.url, 'activity')).toMatchObject({ rows: [], advice: [] });
  });
});

describe('locks', () => {
  it('show who waits for whom as a tree, and how to end the session that holds the lock', async () => {
    const database = await withItems();
    const holder = await startSession(database, 'holder', 'begin', "update items set name = 'x'");
    const waiter = await startSession(database, 'waiter', 'begin', 'select 1');
    const last = await startSession(database, 'last', 'begin', 'select 1');
    const altering = waiter.sql.unsafe('alter table items add column note text').execute();
    const waitsFor = (pid: number) =>
      database.sql`select from pg_locks where pid = ${pid} and not granted`;
    await until('a session that waits', async () => (await waitsFor(waiter.pid))[0]);
    const reading = last.sql.unsafe('select * from items').execute();
    await until('another one', async () => (await waitsFor(last.pid))[0]);
    await until('an answer with advice', async () => {
      return (await answerOf(database.url, 'locks')).advice.length > 0;
    });
    const { rows, advice } = await answerOf(database.url, 'locks');
    expect(rows).toMatchObject([
      { depth: 0, pid: holder.pid, state: 'idle in transaction', waitMs: null, blocked: 2 },
      { depth: 1, pid: waiter.pid, waitsFor: 'items (AccessExclusive)', blocked: 1 },
      { depth: 2, pid: last.pid, waitsFor: 'items (AccessShare)', blocked: 0 },
    ]);
    expect(advice).toEqual([
      expect.stringContaining(`\`select pg_terminate_backend(${holder.pid})\``),
    ]);
    expect(advice[0]).toContain('blocks 2 sessions');
    await holder.sql.unsafe('rollback');
    await altering;
    await waiter.sql.unsafe('commit');
    await reading;
    expect(await answerOf(database.url, 'locks')).toMatchObject({ rows: [], advice: [] });
  });
});

it('a question that takes too long says so', async () => {
  const database = await withItems();
  expect(await answerOf(database.url, 'indexes', { timeoutMs: 1 })).toMatchObject({
    rows: [],
    advice: [],
    unseen: [expect.stringContaining('The question took longer than 1 ms')],
  });
});

it('a table that a session holds exclusively is left out, and named', async () => {
  const database = await withItems();
  await startSession(database, 'holder', 'begin', 'lock table items in access exclusive mode');
  for (const question of ['sizes', 'indexes', 'bloat'] as const) {
    const answer = await answerOf(database.url, question);
    expect(answer.rows.filter(({ table }) => table === 'items')).toEqual([]);
    expect(answer.unseen).toEqual([expect.stringContaining('What is in items')]);
    expect(answer.unseen[0]).toContain('`cryptosense-db inspect locks`');
  }
  expect(await answerOf(database.url, 'activity')).toMatchObject({
    rows: [{ application: 'holder' }],
    unseen: [],
  });
});
