import { formatAge, formatCount, plural } from '../../runtime/amounts.ts';
import { defineQuestion, type Sight } from '../question.ts';

/** A job of TimescaleDB: one of its policies, or a procedure of the schema. */
export type TimescaleJob = {
  readonly job: number;
  readonly procedure: string;
  /** The hypertable or continuous aggregate; null for a job of no table. */
  readonly on: string | null;
  readonly every: string;
  /** null: it has never run. */
  readonly lastRun: Date | null;
  /** null: it has never run. */
  readonly lastStatus: 'success' | 'failed' | 'running' | null;
  readonly runs: number;
  readonly failures: number;
  /** Since the last success. */
  readonly failuresInARow: number;
  /** Of the last failure; null also where the role may not see it. */
  readonly lastError: string | null;
  /** The owners of the job and of the database see its errors. */
  readonly isErrorSeen: boolean;
  readonly nextStart: Date | null;
  readonly isScheduled: boolean;
};

/** In the order of their numbers. */
export async function readJobs({ sql }: Pick<Sight, 'sql'>): Promise<readonly TimescaleJob[]> {
  return sql<TimescaleJob[]>`
    select
      j.job_id as job, j.proc_name as procedure, j.schedule_interval::text as every, j.scheduled as "isScheduled",
      case coalesce(v.view_schema, j.hypertable_schema) when 'public' then ''
        else quote_ident(coalesce(v.view_schema, j.hypertable_schema)) || '.'
      end || quote_ident(coalesce(v.view_name, j.hypertable_name)) as on,
      nullif(s.last_start, '-infinity') as "lastRun",
      case
        when coalesce(s.total_runs, 0) = 0 then null
        when s.last_finish < s.last_start then 'running'
        when s.last_run_success then 'success'
        else 'failed'
      end as "lastStatus",
      coalesce(s.total_runs, 0)::float8 as runs,
      coalesce(s.total_failures + s.total_crashes, 0)::float8 as failures,
      coalesce(s.consecutive_failures + s.consecutive_crashes, 0) as "failuresInARow",
      e.err_message as "lastError",
      pg_has_role(j.owner::oid, 'member')
        or (select pg_has_role(datdba, 'member') from pg_database where datname = current_database()) as "isErrorSeen",
      nullif(s.next_start, '-infinity') as "nextStart"
    from timescaledb_information.jobs j
    left join timescaledb_information.continuous_aggregates v
      on (j.hypertable_schema, j.hypertable_name) in (
        (v.view_schema, v.view_name), (v.materialization_hypertable_schema, v.materialization_hypertable_name)
      )
    left join _timescaledb_internal.bgw_job_stat s on s.job_id = j.job_id
    left join lateral (
      select err_message from timescaledb_information.job_errors e
      where e.job_id = j.job_id order by finish_time desc nulls last limit 1
    ) e on true
    order by j.job_id`;
}

/** `template`: the database is one (IS_TEMPLATE), and TimescaleDB starts no scheduler in it. */
export type Scheduler = 'running' | 'missing' | 'template';

/** Every role sees the name of the process. */
export async function readScheduler({ sql }: Pick<Sight, 'sql'>): Promise<Scheduler> {
  const [{ scheduler }] = await sql<[{ scheduler: Scheduler }]>`
    select case
      when exists (
        select from pg_stat_activity
        where datname = current_database() and application_name = 'TimescaleDB Background Worker Scheduler'
      ) then 'running'
      when datistemplate then 'template'
      else 'missing'
    end as scheduler
    from pg_database where datname = current_database()`;
  return scheduler;
}

/** One failure may be a lock that a session held; TimescaleDB runs the job again. */
const enoughFailures = 2;
const overdueMs = 3_600_000;

/**
 * TimescaleDB 2.28.3 on PostgreSQL 15.20 reports this at the end of a job whose work is done and committed.
 */
const harmlessError = 'cannot drop portal "" while it is being set up';

/** Telemetry fails on every server without internet access, and no table depends on it. */
const unneeded = 'policy_telemetry';

/** The last run failed, and it matters. `unexplained`: the role does not see the error, which may be harmless. */
export function failureOf(job: TimescaleJob): 'none' | 'known' | 'unexplained' {
  const { lastStatus, procedure, lastError, isErrorSeen } = job;
  if (lastStatus !== 'failed' || procedure === unneeded || lastError === harmlessError)
    return 'none';
  return isErrorSeen ? 'known' : 'unexplained';
}

export interface JobFacts {
  readonly jobs: readonly TimescaleJob[];
  readonly scheduler: Scheduler;
  /** A standby or the embedded engine runs no job. */
  readonly runsJobs: boolean;
  readonly now: Date;
}

export function adviseJobs({ jobs, scheduler, runsJobs, now }: JobFacts): readonly string[] {
  const isStopped = runsJobs && scheduler !== 'running' && jobs.some((job) => job.isScheduled);
  return [
    ...(isStopped ? [stopped[scheduler === 'template' ? 'template' : 'missing']] : []),
    ...jobs.flatMap((job) => adviseJob(job, { isLateAdvised: runsJobs && !isStopped, now })),
  ];
}

const stopped = {
  template:
    'The database is marked as a template, as a restore leaves it, so TimescaleDB runs no job in it. ' +
    'When it is to serve: `cryptosense-db backup activate`.',
  missing:
    'No scheduler of TimescaleDB runs in this database, so no job does. ' +
    'Start it: `select _timescaledb_functions.start_background_workers()`. When it does not stay, the server has too ' +
    'few workers: raise timescaledb.max_background_workers and max_worker_processes.',
} as const;

function adviseJob(
  job: TimescaleJob,
  { isLateAdvised, now }: { readonly isLateAdvised: boolean; readonly now: Date },
): readonly string[] {
  const { isScheduled, procedure, failuresInARow, lastError, lastStatus, nextStart } = job;
  const name = nameOfJob(job);
  if (procedure === unneeded) return [];
  if (!isScheduled) {
    const isRefresh = procedure === 'policy_refresh_continuous_aggregate';
    return [
      `Job ${name} is paused. ${isRefresh ? 'An import of prices pauses it while it runs; otherwise let' : 'Let'} it run: ` +
        `\`select alter_job(${job.job}, scheduled => true)\`.`,
    ];
  }
  if (failuresInARow >= enoughFailures && failureOf(job) === 'known') {
    return [
      `Job ${name} has failed ${formatCount(failuresInARow)} times in a row${lastError === null ? '' : `: ${lastError}`}. ` +
        `Run it in your session to see why: \`call run_job(${job.job})\`.`,
    ];
  }
  const lateMs = nextStart === null ? 0 : now.getTime() - nextStart.getTime();
  if (isLateAdvised && lateMs >= overdueMs && lastStatus !== 'running') {
    return [
      `Job ${name} is ${formatAge(lateMs)} late: all background workers are taken. Raise ` +
        'timescaledb.max_background_workers and max_worker_processes, and restart the server: ' +
        '`alter system set timescaledb.max_background_workers = 32`.',
    ];
  }
  return [];
}

/** `1000 (policy_refresh_continuous_aggregate of price_history_daily)` */
export function nameOfJob({ job, procedure, on }: TimescaleJob): string {
  return `${job} (${procedure}${on === null ? '' : ` of ${on}`})`;
}

export const jobs = defineQuestion<TimescaleJob>({
  name: 'jobs',
  columns: [
    { key: 'job', label: 'job', kind: 'text' },
    { key: 'procedure', label: 'procedure', kind: 'text' },
    { key: 'on', label: 'on', kind: 'text' },
    { key: 'every', label: 'every', kind: 'text', isOptional: true },
    { key: 'lastRun', label: 'last run (UTC)', kind: 'moment' },
    { key: 'lastStatus', label: 'ended', kind: 'text', isOptional: true },
    { key: 'failures', label: 'failures', kind: 'count' },
    { key: 'runs', label: 'runs', kind: 'count', isOptional: true },
    { key: 'lastError', label: 'last error', kind: 'text', isOptional: true },
    { key: 'nextStart', label: 'next (UTC)', kind: 'moment' },
    { key: 'isScheduled', label: 'scheduled', kind: 'flag', isOptional: true },
  ],
  empty: 'There is no job.',
  ask: async (_, sight) => {
    const { hasTimescale, isStandby, isEmbeddedEngine } = sight;
    if (!hasTimescale) {
      return { rows: [], advice: [], empty: 'There is no job: the database has no TimescaleDB.' };
    }
    const rows = await readJobs(sight);
    const unexplained = rows.filter((job) => failureOf(job) === 'unexplained').length;
    const harmless = rows.filter(({ lastError }) => lastError === harmlessError).length;
    return {
      rows,
      advice: adviseJobs({
        jobs: rows,
        scheduler: await readScheduler(sight),
        runsJobs: !isStandby && !isEmbeddedEngine,
        now: new Date(),
      }),
      unseen: [
        ...(unexplained > 0
          ? [
              `Why ${plural(unexplained, 'job')} failed: only the owners of the job and of the database see it. ` +
                'Ask as one of them: `select * from timescaledb_information.job_errors`.',
            ]
          : []),
        ...(harmless > 0
          ? [
              `Whether ${plural(harmless, 'job')} failed: TimescaleDB reports \`${harmlessError}\` after the work is done and committed.`,
            ]
          : []),
        ...(isStandby ? ['How jobs run: a standby runs none. Ask the primary.'] : []),
      ],
    };
  },
});
