import type { Session } from '../../database/connection.ts';
import { type HypertableChunks, readChunks } from '../../inspect/questions/chunks.ts';
import {
  harmlessError,
  nameOfJob,
  readJobs,
  type TimescaleJob,
} from '../../inspect/questions/jobs.ts';
import { readSight } from '../../inspect/sight.ts';
import {
  absent,
  type Diagnosis,
  type Moment,
  type Reading,
  type Rule,
  reading,
  type Topic,
} from '../rule.ts';
import { hasTimescale } from './timescale.ts';

export interface Policies {
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
    aboutHypertables(
      'compression-behind',
      ({ overdueToCompress, compressionJob }) => compressionJob !== null && overdueToCompress > 0,
      ({ table, overdueToCompress }) => ({
        severity: 'warning',
        message: `${overdueToCompress} chunks of ${table} should be compressed, and are not`,
        hint: 'see the job: cryptosense-db inspect jobs',
      }),
    ),
    aboutHypertables(
      'retention-behind',
      ({ overdueToDrop, retentionJob }) => retentionJob !== null && overdueToDrop > 0,
      ({ table, overdueToDrop }) => ({
        severity: 'warning',
        message: `${overdueToDrop} chunks of ${table} are older than its retention policy keeps`,
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
  const [{ hasUpkeep }] = await sql<[{ hasUpkeep: boolean }]>`
    select coalesce(has_table_privilege(to_regclass('cryptosense_db.price_upkeep'), 'select'), false) as "hasUpkeep"`;
  const paused = hasUpkeep
    ? await sql<{ job: number }[]>`
        select distinct job from cryptosense_db.price_upkeep, unnest(paused_jobs) as job order by job`
    : [];
  return reading({
    jobs: await readJobs(sight),
    hypertables: await readChunks(sight),
    pausedByImport: paused.map(({ job }) => job),
    runsJobs: !sight.isStandby && !sight.isEmbeddedEngine,
  });
}

function aboutHypertables(
  name: string,
  isFaulty: (table: HypertableChunks) => boolean,
  describe: (table: HypertableChunks) => Diagnosis,
): Rule<Policies> {
  return { name, judge: ({ hypertables }) => hypertables.filter(isFaulty).map(describe) };
}

/** Telemetry fails on every server without internet access, and no table depends on it. */
function judgeFailures({ jobs }: Policies): readonly Diagnosis[] {
  return jobs
    .filter(
      ({ lastStatus, procedure, lastError }) =>
        lastStatus === 'failed' && procedure !== 'policy_telemetry' && lastError !== harmlessError,
    )
    .map((each) => ({
      severity: each.failuresInARow > 1 ? 'critical' : 'warning',
      message: `job ${nameOfJob(each)} fails: ${each.failuresInARow} times in a row, ${each.failures} in all`,
      evidence: each.lastError === null ? [] : [`the last error: ${each.lastError}`],
      hint: `run it and see: call run_job(${each.job})`,
    }));
}

const lateMs = 3_600_000;

/** A job that runs now is not late. */
function judgeLateness({ jobs, runsJobs }: Policies, { now }: Moment): readonly Diagnosis[] {
  if (!runsJobs) return [];
  return jobs.flatMap((each): Diagnosis[] => {
    const { isScheduled, nextStart, lastStatus, lastRun } = each;
    const byMs = nextStart === null ? 0 : now.getTime() - nextStart.getTime();
    if (!isScheduled || lastStatus === 'running' || byMs < lateMs) return [];
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
