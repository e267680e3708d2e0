import { expect, inject } from 'vitest';
import type { QuestionName } from '../../../src/inspect/names.ts';
import { createScratchRole } from '../../support/databases.ts';
import { answerOf } from '../../support/inspection.ts';
import {
  createMigratedDatabase,
  scheduleJobs,
  startScheduler,
} from '../../support/schema-database.ts';
import type { Place, Planting, Sighting } from './planting.ts';

/** A database with TimescaleDB and the packaged schema, where every rule that applies is quiet. */
export interface TimescalePlace extends Place {
  readonly engine: 'server' | 'embedded';
  /** Removes what was planted in the schema `planted`. */
  readonly tidy: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

export async function openTimescalePlace(): Promise<TimescalePlace> {
  const database = await createMigratedDatabase();
  const { engine, url, withSql } = database;
  // The next run is far away, so that no policy repairs what a test plants.
  await scheduleJobs(database);
  if (engine === 'server') await startScheduler(database);
  // The embedded engine has one role.
  const server = inject('timescaleUrl');
  const login = server ? await createScratchRole(server) : undefined;
  const run: Place['run'] = (...statements) =>
    withSql(async (sql) => {
      for (const statement of statements) await sql.unsafe(statement);
    });
  return {
    engine,
    url,
    otherUrls: login ? [login.urlOf(url)] : [],
    options: {},
    run,
    tidy: () => run('drop schema if exists planted cascade', 'create schema planted'),
    stop: async () => {
      await database.drop();
      await login?.drop();
    },
  };
}

const never = `initial_start => now() + interval '3 days'`;

/** Five chunks of one day, the oldest six days old, that are due for every policy. */
const ticks = [
  'create table planted."Ticks" (time timestamptz not null, v float)',
  `select create_hypertable('planted."Ticks"', 'time', chunk_time_interval => interval '1 day')`,
  `insert into planted."Ticks" select now() - n * interval '1 day', n from generate_series(2, 6) n`,
  `alter table planted."Ticks" set (timescaledb.compress)`,
  `update _timescaledb_catalog.chunk set creation_time = '2020-01-01' where hypertable_id = (
    select id from _timescaledb_catalog.hypertable where table_name = 'Ticks')`,
];

/** Runs what a question of inspect says to do. */
function runAdvice(question: QuestionName): NonNullable<Planting['repair']> {
  return async ({ url, run }) => {
    const { advice } = await answerOf(url, question);
    const [, statement = ''] = /`([^`]+)`\.$/.exec(advice.join('\n')) ?? [];
    await run(statement);
  };
}

const addJob = (name: string, body: string) => [
  `create procedure planted.${name}(job_id int, config jsonb) language plpgsql as $$ begin ${body} end $$`,
  `select add_job('planted.${name}', '1 hour', ${never})`,
];

export const timescalePlantings: readonly Planting<TimescalePlace>[] = [
  {
    rule: 'job-fails',
    fault: 'a job that fails again and again',
    severity: 'critical',
    plant: ({ run }) =>
      run(
        ...addJob('cannot_work', `raise exception 'planted';`),
        `insert into _timescaledb_internal.bgw_job_stat
          (job_id, last_start, last_finish, next_start, last_successful_finish, last_run_success, total_runs,
            total_duration, total_duration_failures, total_successes, total_failures, total_crashes,
            consecutive_failures, consecutive_crashes)
        select job_id, now() - interval '2 hours', now() - interval '1 hour', now() + interval '3 days', '-infinity',
          false, 5, '5 s', '4 s', 1, 4, 0, 4, 0
        from timescaledb_information.jobs where proc_name = 'cannot_work'
        on conflict (job_id) do update set last_start = excluded.last_start, last_finish = excluded.last_finish,
          last_run_success = false, total_runs = 5, total_failures = 4, consecutive_failures = 4`,
      ),
    repair: async ({ run }, hint) => {
      await expect(run(hint.replace('run it and see: ', ''))).rejects.toThrow('planted');
      await run(
        `select delete_job(job_id) from timescaledb_information.jobs where proc_name = 'cannot_work'`,
      );
    },
  },
  {
    rule: 'job-paused',
    fault: 'a policy that a person has paused',
    severity: 'warning',
    plant: ({ run }) =>
      run(`select alter_job(job_id, scheduled => false) from timescaledb_information.jobs
        where proc_name = 'policy_retention'`),
  },
  {
    rule: 'import-left-policy-paused',
    fault: 'what an import that was killed has paused',
    severity: 'warning',
    plant: ({ run }) =>
      run(`insert into cryptosense_db.price_upkeep (range_from, range_to, is_refreshed, paused_jobs)
        select now(), now(), false, array_agg(job_id) from timescaledb_information.jobs
        where proc_name = 'policy_refresh_continuous_aggregate'`),
    // test/prices shows that the next import does this.
    repair: ({ run }) => run('delete from cryptosense_db.price_upkeep'),
  },
  {
    rule: 'refresh-behind',
    fault: 'candles that the policy does not reach',
    severity: 'warning',
    plant: ({ run }) =>
      run(`insert into price_history (time, asset_symbol, price_usd)
        select now() - n * interval '5 days', 'BTC', 1 from generate_series(1, 6) as n`),
  },
  {
    rule: 'refresh-behind',
    fault: 'candles without a policy',
    severity: 'warning',
    plant: ({ run }) => run(`select remove_continuous_aggregate_policy('price_history_daily')`),
  },
  {
    rule: 'compression-behind',
    fault: 'chunks that a policy should have compressed',
    severity: 'warning',
    plant: ({ run }) =>
      run(
        ...ticks,
        `select add_compression_policy('planted."Ticks"', interval '1 hour', ${never})`,
      ),
    repair: runAdvice('chunks'),
  },
  {
    rule: 'retention-behind',
    fault: 'chunks that a policy should have dropped',
    severity: 'warning',
    plant: ({ run }) =>
      run(...ticks, `select add_retention_policy('planted."Ticks"', interval '1 hour', ${never})`),
    repair: runAdvice('chunks'),
  },
  {
    rule: 'partial-chunks',
    fault: 'compressed chunks that got rows',
    severity: 'note',
    plant: ({ run }) =>
      run(
        ...ticks,
        `select compress_chunk(chunk) from show_chunks('planted."Ticks"') chunk`,
        'insert into planted."Ticks" select * from planted."Ticks"',
      ),
    repair: runAdvice('chunks'),
  },
];

/** Those that need background workers, or a session that reads the settings of its database. */
export const timescaleServerPlantings: readonly Planting<TimescalePlace>[] = [
  {
    rule: 'timescaledb-restoring',
    fault: 'a restore that was not finished',
    severity: 'critical',
    plant: ({ run }) => run('select timescaledb_pre_restore()'),
  },
  {
    rule: 'no-scheduler',
    fault: 'a database whose background workers were stopped',
    severity: 'critical',
    plant: ({ run }) => run('select _timescaledb_functions.stop_background_workers()'),
  },
  {
    rule: 'no-scheduler',
    fault: 'a database that a restore has left as a template',
    severity: 'critical',
    plant: ({ url, run }) =>
      run(
        'select _timescaledb_functions.stop_background_workers()',
        `alter database ${new URL(url).pathname.slice(1)} is_template true`,
      ),
    repair: ({ url, run }) =>
      run(
        `alter database ${new URL(url).pathname.slice(1)} is_template false`,
        'select _timescaledb_functions.start_background_workers()',
      ),
  },
  {
    rule: 'job-late',
    fault: 'a job that should have started five hours ago',
    severity: 'critical',
    plant: ({ run }) =>
      run(
        'select _timescaledb_functions.stop_background_workers()',
        ...addJob('late', 'perform 1;'),
        `select alter_job(job_id, next_start => now() - interval '5 hours')
        from timescaledb_information.jobs where proc_name = 'late'`,
      ),
    repair: ({ run }) => run('select _timescaledb_functions.start_background_workers()'),
  },
];

export const timescaleServerSightings: readonly Sighting<TimescalePlace>[] = [
  {
    rule: 'background-workers',
    fault: 'more jobs than workers',
    severity: 'note',
    show: async ({ url, run }) => {
      await run(
        'create procedure planted.work(job_id int, config jsonb) language sql as $$ select 1 $$',
        `select add_job('planted.work', '1 hour', ${never})
        from generate_series(1, current_setting('timescaledb.max_background_workers')::int)`,
      );
      return url;
    },
  },
];
