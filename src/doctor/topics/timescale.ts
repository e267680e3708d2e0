import type { Session, Sql } from '../../database/connection.ts';
import { readScheduler, type Scheduler } from '../../inspect/questions/jobs.ts';
import { readSight } from '../../inspect/sight.ts';
import { absent, type Diagnosis, onPrimary, type Reading, reading, type Topic } from '../rule.ts';

export interface Extension {
  readonly license: string | null;
  /** 'on' while a dump is restored, and after a restore that was not finished. */
  readonly restoring: string | null;
  /** null for the embedded engine, which has none. */
  readonly maxBackgroundWorkers: number | null;
  readonly maxWorkerProcesses: number;
  readonly maxParallelWorkers: number;
  /** Databases of the server that may connect: each with TimescaleDB takes a scheduler. */
  readonly databases: number;
  /** Jobs of this database that run on their own. */
  readonly scheduledJobs: number;
  readonly scheduler: Scheduler;
  /** False for a standby and the embedded engine. */
  readonly runsJobs: boolean;
}

export const timescale: Topic<Extension, Session> = {
  name: 'timescaledb',
  read: readExtension,
  rules: [
    {
      name: 'timescaledb-license',
      judge: ({ license }) =>
        license === 'apache'
          ? {
              severity: 'critical',
              message:
                'compression, continuous aggregates and policies do not work: the licence is Apache',
              hint: "alter system set timescaledb.license = 'timescale'; select pg_reload_conf()",
            }
          : undefined,
    },
    {
      name: 'timescaledb-restoring',
      judge: ({ restoring }) =>
        restoring === 'on'
          ? {
              severity: 'critical',
              message: 'no job runs: a restore of this database was not finished',
              hint: 'finish it: select timescaledb_post_restore()',
            }
          : undefined,
    },
    { name: 'background-workers', judge: judgeWorkers },
    {
      name: 'no-scheduler',
      judge: ({ scheduler, runsJobs, scheduledJobs, restoring }) =>
        scheduler !== 'running' && runsJobs && scheduledJobs > 0 && restoring !== 'on'
          ? {
              severity: 'critical',
              message: `none of the ${scheduledJobs} jobs runs: this database has no scheduler`,
              evidence:
                scheduler === 'template'
                  ? ['the database is a template, in which no job runs']
                  : [],
              hint:
                scheduler === 'template'
                  ? 'after a restore: cryptosense-db backup activate NAME'
                  : 'select _timescaledb_functions.start_background_workers()',
            }
          : undefined,
    },
  ],
};

async function readExtension(session: Session): Promise<Reading<Extension>> {
  const { sql } = session;
  if (!(await hasTimescale(sql))) return absent;
  const [found] = await sql<[Omit<Extension, 'scheduler' | 'runsJobs'>]>`
    select current_setting('timescaledb.license', true) as license,
      current_setting('timescaledb.restoring', true) as restoring,
      current_setting('timescaledb.max_background_workers', true)::integer as "maxBackgroundWorkers",
      current_setting('max_worker_processes')::integer as "maxWorkerProcesses",
      current_setting('max_parallel_workers')::integer as "maxParallelWorkers",
      (select count(*)::integer from pg_database where datallowconn) as databases,
      (select count(*)::integer from timescaledb_information.jobs where scheduled) as "scheduledJobs"`;
  const sight = await readSight(session);
  const runsJobs = !sight.isStandby && !sight.isEmbeddedEngine;
  const facts = { ...found, scheduler: await readScheduler(sight), runsJobs };
  return sight.isStandby ? reading(facts, [onPrimary('no-scheduler')]) : reading(facts);
}

/** Whether the database has TimescaleDB, and the server has loaded it. */
export async function hasTimescale(sql: Sql): Promise<boolean> {
  const [{ isThere }] = await sql<[{ isThere: boolean }]>`
    select exists (select from pg_extension where extname = 'timescaledb')
      and current_setting('timescaledb.disable_load', true) is not null as "isThere"`;
  return isThere;
}

/** A launcher, a scheduler for each database, and a worker for each job that runs at the same time. */
function judgeWorkers(facts: Extension): readonly Diagnosis[] {
  const { maxBackgroundWorkers, maxWorkerProcesses, maxParallelWorkers, databases } = facts;
  if (maxBackgroundWorkers === null) return [];
  const enough = databases + facts.scheduledJobs;
  const processes = maxBackgroundWorkers + maxParallelWorkers + 3;
  return [
    ...(maxBackgroundWorkers < databases + 1
      ? [
          {
            severity: 'warning' as const,
            message: `the server has ${databases} databases and ${maxBackgroundWorkers} background workers; jobs of some may never run`,
            evidence: [
              'each database with TimescaleDB needs one for its scheduler, and one for each job that runs',
            ],
            hint: `set it, and restart the server: alter system set timescaledb.max_background_workers = ${enough}`,
          },
        ]
      : maxBackgroundWorkers < enough
        ? [
            {
              severity: 'note' as const,
              message: `${enough} schedulers and jobs share ${maxBackgroundWorkers} background workers, and wait for each other`,
              hint: `set it, and restart the server: alter system set timescaledb.max_background_workers = ${enough}`,
            },
          ]
        : []),
    ...(maxWorkerProcesses < processes
      ? [
          {
            severity: 'warning' as const,
            message: 'jobs and parallel queries take worker processes from each other',
            evidence: [
              `max_worker_processes is ${maxWorkerProcesses}; ${maxBackgroundWorkers} for TimescaleDB, ${maxParallelWorkers} for parallel queries and 3 of the server's own make ${processes}`,
            ],
            hint: `set it, and restart the server: alter system set max_worker_processes = ${processes}`,
          },
        ]
      : []),
  ];
}
