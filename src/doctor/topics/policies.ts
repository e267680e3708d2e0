import type { Session } from '../../database/connection.ts';
import { absent, type Diagnosis, type Moment, type Reading, reading, type Topic } from '../rule.ts';
import { hasTimescale } from './timescale.ts';

export interface Policies {
  readonly jobs: readonly Job[];
  readonly hypertables: readonly HypertableUpkeep[];
  /** Policies that an import of prices has paused and not resumed. */
  readonly pausedByImport: readonly number[];
}

export interface Job {
  readonly id: number;
  /** As `Refresh Continuous Aggregate Policy [1002] of price_history_daily`. */
  readonly name: string;
  readonly isScheduled: boolean;
  readonly intervalMs: number;
  readonly lastStatus: string | null;
  readonly succeededAt: Date | null;
  readonly nextAt: Date | null;
  readonly failures: number;
  /** The last error; null where the role may not see it. */
  readonly error: string | null;
}

export interface HypertableUpkeep {
  readonly hypertable: string;
  /** Chunks that the compression policy should have compressed, and has not; null without a policy. */
  readonly toCompress: number | null;
  /** Chunks that the retention policy should have dropped, and has not; null without a policy. */
  readonly toDrop: number | null;
  /** Chunks with new rows outside their compressed ones. */
  readonly partial: number;
  readonly chunks: number;
}

export const policies: Topic<Policies, Session> = {
  name: 'jobs and policies',
  read: readPolicies,
  rules: [
    { name: 'job-fails', judge: judgeFailures },
    { name: 'job-late', judge: judgeLateness },
    {
      name: 'job-paused',
      judge: ({ jobs, pausedByImport }) =>
        jobs
          .filter(({ id, isScheduled }) => !isScheduled && !pausedByImport.includes(id))
          .map(({ id, name }) => ({
            severity: 'warning' as const,
            message: `${name} is paused`,
            hint: `select alter_job(${id}, scheduled => true)`,
          })),
    },
    {
      name: 'import-left-policy-paused',
      judge: ({ pausedByImport }) =>
        pausedByImport.length > 0
          ? {
              severity: 'warning',
              message:
                'an import of prices did not end, and the candles of new days are not stored',
              hint: 'the next import resumes the policy: cryptosense-db prices import',
            }
          : undefined,
    },
    {
      name: 'compression-behind',
      judge: ({ hypertables }) =>
        hypertables.flatMap(({ hypertable, toCompress }) =>
          toCompress !== null && toCompress > 1
            ? {
                severity: 'warning' as const,
                message: `${toCompress} chunks of ${hypertable} should be compressed, and are not`,
                hint: 'see the job: cryptosense-db inspect jobs',
              }
            : [],
        ),
    },
    {
      name: 'retention-behind',
      judge: ({ hypertables }) =>
        hypertables.flatMap(({ hypertable, toDrop }) =>
          toDrop !== null && toDrop > 1
            ? {
                severity: 'warning' as const,
                message: `${toDrop} chunks of ${hypertable} are older than its retention policy keeps`,
                hint: 'see the job: cryptosense-db inspect jobs',
              }
            : [],
        ),
    },
    {
      name: 'partial-chunks',
      judge: ({ hypertables }) =>
        hypertables.flatMap(({ hypertable, partial, chunks }) =>
          partial > 2
            ? {
                severity: 'note' as const,
                message: `${partial} of ${chunks} chunks of ${hypertable} are compressed in part, and are slower to read`,
                hint: 'the compression policy does the rest; sooner: select compress_chunk(CHUNK), with the names from cryptosense-db inspect chunks',
              }
            : [],
        ),
    },
  ],
};

async function readPolicies({ sql }: Session): Promise<Reading<Policies>> {
  if (!(await hasTimescale(sql))) return absent;
  const [{ hasUpkeep }] = await sql<[{ hasUpkeep: boolean }]>`
    select coalesce(has_table_privilege(to_regclass('cryptosense_db.price_upkeep'), 'select'), false) as "hasUpkeep"`;
  const jobs = await sql<Job[]>`
    select job.job_id as id,
      job.application_name || coalesce(' of ' || coalesce(aggregate.view_name, job.hypertable_name), '') as name,
      job.scheduled as "isScheduled", extract(epoch from job.schedule_interval)::float8 * 1000 as "intervalMs",
      stats.last_run_status as "lastStatus", stats.next_start as "nextAt",
      nullif(stats.last_successful_finish, '-infinity') as "succeededAt",
      coalesce(stats.total_failures, 0)::float8 as failures,
      (select err_message from timescaledb_information.job_errors e
        where e.job_id = job.job_id order by start_time desc limit 1) as error
    from timescaledb_information.jobs job
      left join timescaledb_information.job_stats stats on stats.job_id = job.job_id
      left join timescaledb_information.continuous_aggregates aggregate
        on (aggregate.materialization_hypertable_schema, aggregate.materialization_hypertable_name)
          = (job.hypertable_schema, job.hypertable_name)
    order by job.job_id`;
  // A chunk is late when its policy has had two runs for it. Releases before 2.13 do not know when a chunk was made.
  // A policy in integer time has no border here.
  const hypertables = await sql<HypertableUpkeep[]>`
    with border as (
      select hypertable_schema, hypertable_name, proc_name, schedule_interval as every,
        now() - coalesce(config ->> 'compress_after', config ->> 'drop_after')::interval - schedule_interval * 2 as before
      from timescaledb_information.jobs
      where proc_name in ('policy_compression', 'policy_retention')
        and coalesce(config ->> 'compress_after', config ->> 'drop_after') !~ '^\d+$'
    )
    select format('%I.%I', shown.hypertable_schema, shown.hypertable_name) as hypertable,
      case when count(compress.before) > 0 then
        count(*) filter (
          where shown.range_end < compress.before and not shown.is_compressed and made.at < now() - compress.every * 2
        ) end::integer as "toCompress",
      case when count(retain.before) > 0 then
        count(*) filter (where shown.range_end < retain.before and made.at < now() - retain.every * 2) end::integer as "toDrop",
      count(*) filter (where chunk.status & 8 > 0)::integer as partial,
      count(*)::integer as chunks
    from timescaledb_information.chunks shown
      join _timescaledb_catalog.chunk chunk
        on (chunk.schema_name, chunk.table_name) = (shown.chunk_schema, shown.chunk_name)
      cross join lateral (
        select coalesce((to_jsonb(chunk) ->> 'creation_time')::timestamptz, '-infinity') as at
      ) made
      left join border compress
        on (compress.hypertable_schema, compress.hypertable_name) = (shown.hypertable_schema, shown.hypertable_name)
          and compress.proc_name = 'policy_compression'
      left join border retain
        on (retain.hypertable_schema, retain.hypertable_name) = (shown.hypertable_schema, shown.hypertable_name)
          and retain.proc_name = 'policy_retention'
    group by shown.hypertable_schema, shown.hypertable_name order by 1`;
  const paused = hasUpkeep
    ? await sql<{ job: number }[]>`
        select distinct job from cryptosense_db.price_upkeep, unnest(paused_jobs) as job order by job`
    : [];
  return reading({ jobs, hypertables, pausedByImport: paused.map(({ job }) => job) });
}

function judgeFailures({ jobs }: Policies): readonly Diagnosis[] {
  return jobs
    .filter(({ lastStatus }) => lastStatus === 'Failed')
    .map(({ id, name, failures, error }) => ({
      severity: 'critical',
      message: `${name} fails: its last run, and ${failures} in all`,
      evidence: error === null ? [] : [`the last error: ${error}`],
      hint: `run it and see: call run_job(${id})`,
    }));
}

const leastLateMs = 3_600_000;

/** Later than two of its intervals, and than an hour. A job that runs now is not late. */
function judgeLateness({ jobs }: Policies, { now }: Moment): readonly Diagnosis[] {
  return jobs.flatMap(({ name, isScheduled, nextAt, intervalMs, succeededAt }): Diagnosis[] => {
    if (!isScheduled || nextAt === null || !Number.isFinite(nextAt.getTime())) return [];
    const lateMs = now.getTime() - nextAt.getTime();
    if (lateMs < Math.max(leastLateMs, 2 * intervalMs)) return [];
    return [
      {
        severity: 'critical',
        message: `${name} should have started ${Math.round(lateMs / 3_600_000)} h ago`,
        evidence: [
          succeededAt === null
            ? 'it has never succeeded'
            : `it last succeeded at ${succeededAt.toISOString()}`,
        ],
        hint: 'see whether the scheduler runs and has workers left (rules no-scheduler and background-workers)',
      },
    ];
  });
}
