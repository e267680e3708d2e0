import type { Sql } from 'postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inspect } from '../../src/inspect/inspect.ts';
import { type QuestionName, questionTitles } from '../../src/inspect/names.ts';
import * as seed from '../../src/seeding/seed.ts';
import { answerOf, rowOf } from '../support/inspection.ts';
import {
  createMigratedDatabase,
  scheduleJobs,
  startScheduler,
  type TimescaleDatabase,
} from '../support/schema-database.ts';

let database: TimescaleDatabase;
const run = <T>(use: (sql: Sql) => Promise<T>) => database.withSql(use);
const ask = (question: QuestionName) => answerOf(database.url, question);

beforeAll(async () => {
  database = await createMigratedDatabase();
  // The next run is far away, so that no policy mends what a test plants.
  await scheduleJobs(database);
  if (database.engine === 'server') {
    expect((await ask('jobs')).advice).toEqual([
      expect.stringContaining('`cryptosense-db backup activate`'),
    ]);
    await startScheduler(database);
  }
});
afterAll(() => database?.drop());

describe('a sound database', () => {
  it('has no price yet, which is one sentence', async () => {
    expect(await ask('coverage')).toMatchObject({
      rows: [],
      advice: [],
      empty: 'There is no price.',
    });
  });

  it('gets no advice from any question', async () => {
    await seed.dev({ target: database.url });
    const { answers, target } = await inspect({ target: database.url });
    expect(answers.map(({ question }) => question)).toEqual(Object.keys(questionTitles));
    expect(target).not.toContain('postgres@');
    // A server has to load pg_stat_statements first; test/inspect/statistics.test.ts has one that has.
    const advised = answers.filter(
      ({ question, advice }) => question !== 'slow' && advice.length > 0,
    );
    expect(advised).toEqual([]);
  });

  it('cuts rows at the limit, and says how many it left out', async () => {
    const { answers } = await inspect({ target: database.url, questions: ['sizes'], limit: 2 });
    expect(answers[0]?.rows).toHaveLength(2);
    expect(answers[0]?.rowsLeftOut).toBeGreaterThan(10);
  });

  it('becomes JSON with times as text', async () => {
    const result = JSON.parse(
      JSON.stringify(await inspect({ target: database.url, questions: ['coverage'] })),
    );
    expect(result.answers[0].rows[0].first).toMatch(/^\d{4}-\d{2}-\d{2}T/);
  });
});

describe('hypertables', () => {
  beforeAll(() =>
    run(async (sql) => {
      await sql`
        insert into price_history (time, asset_symbol, price_usd, data_source)
        select date_trunc('day', now(), 'UTC') - interval '60 days' + n * interval '10 minutes', 'OLD', 10 + n % 7, 'test'
        from generate_series(0, 5999) n`;
      await sql`
        select compress_chunk(chunk) from show_chunks('price_history', older_than => interval '20 days') chunk`;
    }),
  );

  it('count with all their chunks, before and after compression', async () => {
    const answer = await ask('sizes');
    const prices = rowOf(answer, 'table', 'price_history');
    const [{ bytes }] = await run(
      (sql) => sql<[{ bytes: number }]>`
        select total_bytes::float8 as bytes from hypertable_detailed_size('price_history')`,
    );
    // TimescaleDB leaves out the empty table that compressed chunks are made like.
    expect(Number(prices?.totalBytes) - bytes).toBeLessThan(50_000);
    expect(Number(prices?.totalBytes)).toBeGreaterThanOrEqual(bytes);
    const [stats] = await run(
      (sql) => sql<{ chunks: number; before: number }[]>`
        select total_chunks::float8 as chunks, before_compression_total_bytes::float8 as before
        from hypertable_compression_stats('price_history')`,
    );
    expect(prices).toMatchObject({
      kind: 'hypertable',
      chunks: stats?.chunks,
      beforeBytes: stats?.before,
    });
    expect(Number(prices?.afterBytes)).toBeLessThan(Number(prices?.beforeBytes));
    expect(rowOf(answer, 'table', 'price_history_daily')).toMatchObject({
      kind: 'continuous aggregate',
    });
  });

  it.each<QuestionName>(['sizes', 'bloat', 'cache', 'indexes', 'chunks'])(
    'hide their chunks in %s',
    async (question) => {
      const { rows } = await ask(question);
      expect(
        rows.filter(({ table }) => /_hyper|_timescaledb|_materialized/.test(String(table))),
      ).toEqual([]);
    },
  );

  it('have indexes with those of their chunks, and a duplicate is dropped without CONCURRENTLY', async () => {
    await run((sql) => sql`create index twin on price_history (asset_symbol, time desc)`);
    const answer = await ask('indexes');
    await run((sql) => sql`drop index twin`);
    const [row] = answer.rows;
    expect(answer.rows).toMatchObject([{ table: 'price_history', fault: 'duplicate' }]);
    expect(Number(row?.bytes)).toBeGreaterThan(8_192);
    expect(answer.advice[0]).toContain(`\`drop index ${row?.name}\``);
  });

  it('have chunks that are compressed in part, and chunks that a policy should have compressed or dropped', async () => {
    const sound = await ask('chunks');
    expect(sound.advice).toEqual([]);
    expect(Number(rowOf(sound, 'table', 'price_history')?.compressed)).toBeGreaterThan(0);
    await run(async (sql) => {
      await sql`
        insert into price_history (time, asset_symbol, price_usd, data_source)
        values (now() - interval '40 days', 'LATE', 1, 'test'), (now() - interval '6 years', 'ANCIENT', 1, 'test')`;
      await sql`update _timescaledb_catalog.chunk set creation_time = '2020-01-01'`;
    });
    const answer = await ask('chunks');
    expect(rowOf(answer, 'table', 'price_history')).toMatchObject({ partial: 1, overdueToDrop: 1 });
    expect(answer.advice).toEqual([
      expect.stringMatching(/1 compressed chunk of price_history got rows .*`call run_job\(\d+\)`/),
      expect.stringMatching(/chunks? of price_history should be compressed by now/),
      expect.stringMatching(/1 chunk of price_history should be dropped by now/),
    ]);
  });
});

describe('a chunk that is compressed in part, without a policy', () => {
  it('is compressed again by what is said, and no chunk that was never compressed', async () => {
    await run(async (sql) => {
      await sql.unsafe(`
        create table "Ticks" (time timestamptz not null, v float);
        select create_hypertable('"Ticks"', 'time', chunk_time_interval => interval '1 day');
        insert into "Ticks" select now() - n * interval '1 day', n from generate_series(1, 5) n;
        alter table "Ticks" set (timescaledb.compress)`);
      await sql`select compress_chunk(c) from show_chunks('"Ticks"', newer_than => interval '2 days') c`;
      await sql`insert into "Ticks" values (now() - interval '1 day', 9)`;
    });
    const before = await ask('chunks');
    const { compressed } = rowOf(before, 'table', '"Ticks"') ?? {};
    expect(rowOf(before, 'table', '"Ticks"')).toMatchObject({ partial: 1 });
    const advice = before.advice.find((each) => each.includes('"Ticks"')) ?? '';
    const statement = /`([^`]+)`/.exec(advice)?.[1] ?? '';
    await run((sql) => sql.unsafe(statement));
    const after = await ask('chunks');
    await run((sql) => sql`drop table "Ticks"`);
    expect(rowOf(after, 'table', '"Ticks"')).toMatchObject({ partial: 0, compressed });
  });
});

describe('jobs', () => {
  it('that fail again and again are named with their error, and so are paused ones', async () => {
    await run(async (sql) => {
      await sql`create procedure cannot_work(job int, config jsonb) language sql as 'select 1'`;
      await sql`select add_job('cannot_work', '1 hour', initial_start => now() + interval '3 days')`;
      await sql`
        insert into _timescaledb_internal.bgw_job_stat
          (job_id, last_start, last_finish, next_start, last_successful_finish, last_run_success, total_runs,
            total_duration, total_duration_failures, total_successes, total_failures, total_crashes,
            consecutive_failures, consecutive_crashes)
        select job_id, now() - interval '2 hours', now() - interval '1 hour', now() + interval '3 days', '-infinity',
          false, 5, '5 s', '4 s', 1, 4, 0, 4, 0
        from timescaledb_information.jobs where proc_name = 'cannot_work'
        on conflict (job_id) do update set
          last_start = excluded.last_start, last_finish = excluded.last_finish,
          last_run_success = false, total_runs = 5, total_failures = 4, consecutive_failures = 4`;
      await sql`
        select alter_job(job_id, scheduled => false) from timescaledb_information.jobs
        where proc_name = 'policy_retention'`;
    });
    const answer = await ask('jobs');
    expect(rowOf(answer, 'procedure', 'cannot_work')).toMatchObject({
      lastStatus: 'failed',
      failures: 4,
      runs: 5,
      isScheduled: true,
    });
    expect(rowOf(answer, 'procedure', 'policy_refresh_continuous_aggregate')).toMatchObject({
      on: 'price_history_daily',
    });
    expect(answer.advice).toEqual([
      expect.stringMatching(
        /\(policy_retention of price_history\) is paused.*scheduled => true\)`/,
      ),
      expect.stringMatching(/\(cannot_work\) has failed 4 times in a row.*`call run_job\(\d+\)`/),
    ]);
  });
});

describe('coverage', () => {
  it('names gaps, assets whose prices have stopped, and days without a candle', async () => {
    await run(async (sql) => {
      await sql`truncate price_history`;
      await sql.unsafe(`call refresh_continuous_aggregate('price_history_daily', null, null)`);
      await sql`
        insert into price_history (time, asset_symbol, price_usd, data_source)
        select date_trunc('hour', now()) - n * interval '1 hour', 'GAP', 1, 'test' from generate_series(0, 99) n
        where n not between 20 and 29`;
      await sql`
        insert into price_history (time, asset_symbol, price_usd, data_source)
        select date_trunc('day', now(), 'UTC') - n * interval '1 day', 'STALE', 1, 'test' from generate_series(5, 9) n`;
      await sql.unsafe(
        `call refresh_continuous_aggregate('price_history_daily', null, date_trunc('day', now(), 'UTC')::timestamptz)`,
      );
      await sql`
        insert into price_history (time, asset_symbol, price_usd, data_source)
        select date_trunc('day', now(), 'UTC') - n * interval '1 day', 'BARE', 1, 'test' from generate_series(1, 3) n`;
    });
    const answer = await ask('coverage');
    expect(rowOf(answer, 'asset', 'GAP')).toMatchObject({
      interval: 'hourly',
      gaps: 10,
      isStale: false,
    });
    expect(rowOf(answer, 'asset', 'STALE')).toMatchObject({
      interval: 'daily',
      gaps: 0,
      isStale: true,
    });
    expect(rowOf(answer, 'asset', 'BARE')).toMatchObject({ candlesMissing: 3, isStale: false });
    expect(answer.advice).toEqual([
      expect.stringMatching(
        /GAP: no price for 10 hours.*prices import --coins GAP --interval hourly/,
      ),
      expect.stringMatching(/STALE: no price for 5 days.*prices import --coins STALE/),
      expect.stringMatching(
        /BARE: no daily candle for 3 days with prices.*`call refresh_continuous_aggregate\(/,
      ),
    ]);
  });
});
