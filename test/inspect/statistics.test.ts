import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createScratchDatabase, type ScratchDatabase } from '../support/databases.ts';
import { type PostgresServer, startEmbeddedPostgres } from '../support/embedded-postgres.ts';
import { answerOf, inCountedSession, rowOf } from '../support/inspection.ts';

/** A server with little memory that counts statements. */
let server: PostgresServer;
let database: ScratchDatabase;

beforeAll(async () => {
  server = await startEmbeddedPostgres([
    'shared_preload_libraries=pg_stat_statements',
    'shared_buffers=1MB',
    'autovacuum=off',
    'max_connections=20',
  ]);
  database = await createScratchDatabase(server.url);
});
afterAll(async () => {
  await database?.drop();
  await server?.stop();
});

const run = (...statements: readonly string[]) =>
  inCountedSession(database.url, async (sql) => {
    for (const statement of statements) await sql.unsafe(statement);
  });

it('says how to see statements that the server counts', async () => {
  expect(await answerOf(database.url, 'slow')).toMatchObject({
    rows: [],
    advice: [expect.stringContaining('`create extension pg_stat_statements`')],
  });
});

describe('slow', () => {
  beforeAll(() => run('create extension pg_stat_statements'));

  it('is quiet where statements are quick', async () => {
    await run(...Array<string>(6).fill('select 1 + 1'));
    const { rows, advice } = await answerOf(database.url, 'slow');
    expect(rows.map(({ query }) => query)).toContain('select $1 + $2');
    expect(advice).toEqual([]);
  });

  it('names a slow statement, without texts that a statement holds', async () => {
    await run(...Array<string>(5).fill('select pg_sleep(0.21)'));
    await run(
      "create role cryptosense_slow_role password 'secret word'",
      'drop role cryptosense_slow_role',
    );
    const answer = await answerOf(database.url, 'slow');
    expect(rowOf(answer, 'query', 'select pg_sleep($1)')).toMatchObject({ calls: 5 });
    expect(answer.advice).toEqual([expect.stringContaining('select pg_sleep($1)')]);
    expect(answer.advice[0]).toContain('`explain (analyze, buffers)');
    expect(JSON.stringify(answer)).not.toContain('secret');
  });
});

describe('cache', () => {
  it('is quiet where memory serves, and names the tables that it does not serve', async () => {
    await run('create table small (id int)', 'insert into small select generate_series(1, 100)');
    expect(await answerOf(database.url, 'cache')).toMatchObject({ advice: [] });
    await run(
      'create table large as select n, repeat(md5(n::text), 8) as filling from generate_series(1, 60000) n',
      ...Array<string>(10).fill('select count(*) from large'),
    );
    const answer = await answerOf(database.url, 'cache');
    expect(answer.rows[0]?.table).toBe('all tables');
    expect(answer.rows[1]).toMatchObject({ table: 'large', indexHitRatio: null });
    expect(answer.advice).toEqual([expect.stringContaining('shared_buffers is 1.0 MB')]);
    expect(answer.advice[0]).toContain('large (');
  });
});

describe('bloat', () => {
  it('is quiet on a table that was vacuumed', async () => {
    await run('create table sound as select n from generate_series(1, 30000) n');
    await run('vacuum analyze sound');
    const answer = await answerOf(database.url, 'bloat');
    expect(rowOf(answer, 'table', 'sound')).toMatchObject({
      liveRows: 30_000,
      deadRows: 0,
      lastVacuum: expect.any(Date),
    });
    expect(answer.advice).toEqual([]);
  });

  it('names a table with dead rows, one that autovacuum leaves out, and one with free space', async () => {
    await run(
      'create table dead as select n from generate_series(1, 30000) n',
      'delete from dead where n % 2 = 0',
      'create table left_out (id int) with (autovacuum_enabled = off)',
      'create table loose as select n, md5(n::text) as filling from generate_series(1, 300000) n',
      'delete from loose where n % 10 <> 0',
    );
    // Another session, so that what the first one has counted is there before.
    await run('vacuum analyze loose');
    const answer = await answerOf(database.url, 'bloat');
    expect(rowOf(answer, 'table', 'dead')).toMatchObject({ deadRows: 15_000, deadRatio: 0.5 });
    expect(answer.advice).toEqual([
      expect.stringContaining('`vacuum (analyze) dead`'),
      expect.stringContaining('`vacuum (full, analyze) loose`'),
      expect.stringContaining('`alter table left_out reset (autovacuum_enabled)`'),
    ]);
    expect(answer.advice[1]).toContain('By an estimate');
  });
});

describe('sizes', () => {
  it('count indexes and TOAST, and name a table whose indexes take more than its rows', async () => {
    await run(
      'create table items as select n as a, n as b from generate_series(1, 150000) n',
      ...[1, 2, 3, 4].map(
        (number) => `create index items_${number} on items (a, b) where a > ${number}`,
      ),
      'create table texts (note text)',
      "insert into texts select string_agg(md5(n::text), '') from generate_series(1, 2000) n",
      'create schema "Other"; create table "Other".partial (id int primary key)',
      'analyze items',
    );
    const answer = await answerOf(database.url, 'sizes');
    expect(rowOf(answer, 'table', 'texts')?.toastBytes).toBeGreaterThan(8_192);
    expect(rowOf(answer, 'table', '"Other".partial')).toMatchObject({
      kind: 'table',
      chunks: null,
    });
    const items = rowOf(answer, 'table', 'items');
    expect(items).toMatchObject({ rows: 150_000, beforeBytes: null });
    expect(Number(items?.tableBytes) + Number(items?.indexBytes)).toBe(items?.totalBytes);
    expect(answer.advice).toEqual([expect.stringContaining('The indexes of items take')]);
  });
});

it('says that a server does not count', async () => {
  await run(`alter database ${database.name} set track_counts = off`);
  const answer = await answerOf(database.url, 'bloat');
  expect(answer.unseen[0]).toContain('`alter system set track_counts = on`');
});
