import type { Session } from '../../database/connection.ts';
import { type HypertableChunks, readChunks } from '../../inspect/questions/chunks.ts';
import { failureOf, nameOfJob, readJobs, type TimescaleJob } from '../../inspect/questions/jobs.ts';
import { readSight } from '../../inspect/sight.ts';
import { formatCount, plural } from '../../runtime/amounts.ts';
import {
  absent,
  type Diagnosis,
  type Moment,
  onPrimary,
  type Reading,
  type Rule,
  reading,
  type Topic,
} from '../rule.ts';
import { hasTimescale } from './timescale.ts';

/** A continuous aggregate, and what of its hypertable it has not stored. */
export interface AggregateRefresh {
  /** Quoted where it has to be. */
  readonly view: string;
  /** The policy that refreshes it; null without one. */
  readonly job: number | null;
  /** The end of what is stored, as PostgreSQL writes it; null where nothing is. */
  readonly storedUntil: string | null;
  /** Chunks that begin after it, and before the days that the policy stores. */
  readonly missedChunks: number;
}

export interface Policies {
  readonly aggregates: readonly AggregateRefresh[];
  readonly jobs: readonly TimescaleJob[];
  readonly hypertables: readonly HypertableChunks[];
  /** Policies that an import of prices has paused and not resumed. */
  readonly pausedByImport: readonly number[];
  /** False for a standby and the embedded engine. */
  readonly runsJobs: boolean;
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
          .filter(({ job, isScheduled }) => !isScheduled && !pausedByImport.includes(job))
          .map((each) => ({
            severity: 'warning' as const,
            message: `job ${nameOfJob(each)} is paused`,
            hint: `select alter_job(${each.job}, scheduled => true)`,
          })),
    },
    {
      name: 'import-left-policy-paused',
      judge: ({ pausedByImport }) =>
        pausedByImport.length > 0
          ? {
              severity: 'warning',
              message:
                'an import of prices runs or did not end, and the candles of new days are not stored',
              hint: 'the next import resumes the policy: cryptosense-db prices import',
            }
          : undefined,
    },
    { name: 'refresh-behind', judge: ({ aggregates }) => aggregates.flatMap(judgeRefresh) },
    aboutHypertables(
      'compression-behind',
      ({ overdueToCompress, compressionJob }) => compressionJob !== null && overdueToCompress > 0,
      ({ table, overdueToCompress }) => ({
        severity: 'warning',
        message: `${plural(overdueToCompress, 'chunk')} of ${table} should be compressed by now`,
        hint: 'see the job: cryptosense-db inspect jobs',
      }),
    ),
    aboutHypertables(
      'retention-behind',
      ({ overdueToDrop, retentionJob }) => retentionJob !== null && overdueToDrop > 0,
      ({ table, overdueToDrop }) => ({
        severity: 'warning',
        message: `${plural(overdueToDrop, 'chunk')} of ${table} should be dropped by now, by the retention policy`,
        hint: 'see the job: cryptosense-db inspect jobs',
      }),
    ),
    aboutHypertables(
      'partial-chunks',
      ({ partial }) => partial > 2,
      ({ table, partial, chunks }) => ({
        severity: 'note',
        message: `${partial} of ${chunks} chunks of ${table} are compressed in part, and are slower to read`,
        hint: 'the compression policy does the rest; sooner, with the statement of: cryptosense-db inspect chunks',
      }),
    ),
  ],
};

async function readPolicies(session: Session): Promise<Reading<Policies>> {
  const { sql } = session;
  if (!(await hasTimescale(sql))) return absent;
  const sight = await readSight(session);
  const { role } = sight;
  const [upkeep] = await sql<{ isOpen: boolean }[]>`
    select has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select') as "isOpen"
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'cryptosense_db' and c.relname = 'price_upkeep'`;
  const paused = upkeep?.isOpen
    ? await sql<{ job: number }[]>`
        select distinct job from cryptosense_db.price_upkeep, unnest(paused_jobs) as job order by job`
    : [];
  const facts = {
    jobs: await readJobs(sight),
    hypertables: await readChunks(sight),
    aggregates: await readAggregates(session),
    pausedByImport: paused.map(({ job }) => job),
    runsJobs: !sight.isStandby && !sight.isEmbeddedEngine,
  };
  const late = sight.isStandby ? [onPrimary('job-late')] : [];
  if (upkeep === undefined || upkeep.isOpen) return reading(facts, late);
  return reading(facts, [
    ...late,
    {
      rules: ['import-left-policy-paused'],
      reason: 'the role may not read which policies imports of prices have paused',
      remedy: `grant usage on schema cryptosense_db to ${role}; grant select on all tables in schema cryptosense_db to ${role}`,
    },
  ]);
}

/** A policy stores the days from `start_offset` on: what is older and not stored stays so. */
async function readAggregates({ sql }: Session): Promise<readonly AggregateRefresh[]> {
  return sql<AggregateRefresh[]>`
    select format('%I.%I', view_schema, view_name) as view, job,
      case when "storedUntil" > '1900-01-01' then "storedUntil"::text end as "storedUntil",
      (
        select count(*)::int from timescaledb_information.chunks k
        where k.hypertable_schema = found.hypertable_schema and k.hypertable_name = found.hypertable_name
          and k.range_start >= "storedUntil" and k.range_start < now() - start_offset
      ) as "missedChunks"
    from (
      select a.*, j.job_id as job, (j.config ->> 'start_offset')::interval as start_offset,
        _timescaledb_functions.to_timestamp(w.watermark) as "storedUntil"
      from timescaledb_information.continuous_aggregates a
      join _timescaledb_catalog.hypertable h on h.schema_name = a.materialization_hypertable_schema
        and h.table_name = a.materialization_hypertable_name
      join _timescaledb_catalog.continuous_aggs_watermark w on w.mat_hypertable_id = h.id
      left join timescaledb_information.jobs j on j.proc_name = 'policy_refresh_continuous_aggregate'
        and (j.hypertable_schema, j.hypertable_name) in (
          (a.view_schema, a.view_name),
          (a.materialization_hypertable_schema, a.materialization_hypertable_name)
        )
      -- The offsets of a time that is a number are numbers.
      where exists (
        select from timescaledb_information.dimensions d
        where d.hypertable_schema = a.hypertable_schema and d.hypertable_name = a.hypertable_name
          and d.time_interval is not null
      )
    ) as found
    order by 1`;
}

function judgeRefresh({
  view,
  job,
  storedUntil,
  missedChunks,
}: AggregateRefresh): readonly Diagnosis[] {
  if (job === null) {
    return [
      {
        severity: 'warning',
        message: `no policy refreshes ${view}: ${storedUntil === null ? 'nothing' : `nothing newer than ${storedUntil}`} is stored`,
        hint: `select add_continuous_aggregate_policy('${view}', start_offset => interval '3 days', end_offset => interval '1 hour', schedule_interval => interval '1 hour')`,
      },
    ];
  }
  if (missedChunks === 0) return [];
  return [
    {
      severity: 'warning',
      message: `${storedUntil === null ? `nothing of ${view} is stored` : `${view} is stored until ${storedUntil}`}, and its policy does not reach back so far`,
      evidence: [
        `${plural(missedChunks, 'chunk')} of newer rows ${missedChunks === 1 ? 'is' : 'are'} too old for it`,
      ],
      hint: `call refresh_continuous_aggregate('${view}', ${storedUntil === null ? 'NULL' : `'${storedUntil}'`}, date_trunc('day', now(), 'UTC'))`,
    },
  ];
}

function aboutHypertables(
  name: string,
  isFaulty: (table: HypertableChunks) => boolean,
  describe: (table: HypertableChunks) => Diagnosis,
): Rule<Policies> {
  return { name, judge: ({ hypertables }) => hypertables.filter(isFaulty).map(describe) };
}

/** One finding for each job that fails, and one for all whose errors the role does not see. */
function judgeFailures({ jobs }: Policies): readonly Diagnosis[] {
  const known = jobs.filter((job) => failureOf(job) === 'known');
  const unexplained = jobs.filter((job) => failureOf(job) === 'unexplained');
  return [
    ...known.map(
      (each): Diagnosis => ({
        severity: each.failuresInARow > 1 ? 'critical' : 'warning',
        message: `job ${nameOfJob(each)} fails: ${timesInARow(each)}`,
        evidence: each.lastError === null ? [] : [`the last error: ${each.lastError}`],
        hint: `run it and see: call run_job(${each.job})`,
      }),
    ),
    ...(unexplained.length === 0
      ? []
      : [
          {
            severity: 'note' as const,
            message: `${plural(unexplained.length, 'job')} failed, and the role may not see why`,
            evidence: unexplained.map((each) => `job ${nameOfJob(each)}: ${timesInARow(each)}`),
            hint: 'ask as the owner of the jobs or of the database: select * from timescaledb_information.job_errors',
          },
        ]),
  ];
}

function timesInARow({ failuresInARow, failures }: TimescaleJob): string {
  return `${plural(failuresInARow, 'time')} in a row, ${formatCount(failures)} in all`;
}

const lateMs = 3_600_000;
/** A policy takes minutes; one that takes this long waits, or never ends. */
const longMs = 24 * 3_600_000;

/** A job that runs is not late until it has run for a day: it holds back vacuum, and does not start again. */
function judgeLateness({ jobs, runsJobs }: Policies, { now }: Moment): readonly Diagnosis[] {
  if (!runsJobs) return [];
  return jobs.flatMap((each): Diagnosis[] => {
    const { isScheduled, nextStart, lastStatus, lastRun } = each;
    const byMs = nextStart === null ? 0 : now.getTime() - nextStart.getTime();
    if (lastStatus === 'running') {
      const ranMs = lastRun === null ? 0 : now.getTime() - lastRun.getTime();
      if (ranMs < longMs) return [];
      return [
        {
          severity: 'warning',
          message: `job ${nameOfJob(each)} has been running for ${Math.round(ranMs / 3_600_000)} h`,
          evidence: ['it may wait for a lock, or have more to do than it can'],
          hint: 'see what it waits for: cryptosense-db inspect locks',
        },
      ];
    }
    if (!isScheduled || byMs < lateMs) return [];
    return [
      {
        severity: 'critical',
        message: `job ${nameOfJob(each)} should have started ${Math.round(byMs / 3_600_000)} h ago`,
        evidence: [
          lastRun === null ? 'it has never run' : `its last run began at ${lastRun.toISOString()}`,
        ],
        hint: 'see whether the scheduler runs and has workers left (rules no-scheduler and background-workers)',
      },
    ];
  });
}
