import { setTimeout } from 'node:timers/promises';
import { type Session, type Sql, withTransaction } from '../database/connection.ts';
import { defaultLockTimeoutMs, type LockOptions } from '../database/lock.ts';
import { oweUpkeep, readUpkeep, recordResumed } from '../ledger/price-upkeep.ts';
import type { TimeRange } from '../market/prices.ts';
import { CryptosenseDbError, isError } from '../runtime/errors.ts';
import { backoffMs, retry } from '../runtime/retry.ts';

/**
 * Pauses the policies that refresh `price_history_daily`, and waits until none of them runs. The ledger keeps a range
 * that has to be refreshed before they run again, so that an import after a kill can do it. Returns how many it has
 * paused. Throws `lock-timeout`, with the policies paused.
 */
export async function pausePolicies(
  session: Session,
  range: TimeRange,
  wait: LockOptions,
): Promise<number> {
  const { sql } = session;
  const running = await withTransaction(sql, async () => {
    const policies = await readPolicies(sql);
    for (const { job } of policies) await sql`select alter_job(${job}, scheduled => false)`;
    await oweUpkeep(
      sql,
      range,
      policies.map(({ job }) => job),
    );
    return policies.map(({ name }) => name);
  });
  if (running.length > 0) {
    await waitForWorkers(session, running, wait);
    // A worker that starts at this moment does not have its name yet.
    await setTimeout(startOfWorkerMs, undefined, { signal: session.signal }).catch(() => {});
    await waitForWorkers(session, running, wait);
  }
  return running.length;
}

const startOfWorkerMs = 200;

/** Lets the policies that imports have paused run again. Call it once the candles that are owed are refreshed. */
export async function resumePolicies({ sql }: Session): Promise<void> {
  const owed = await readUpkeep(sql);
  if (!owed || owed.pausedJobs.length === 0) return;
  await withTransaction(sql, async () => {
    for (const job of owed.pausedJobs) {
      await sql`select alter_job(${job}, scheduled => true, if_exists => true)`;
    }
    await recordResumed(sql);
  });
}

interface Policy {
  readonly job: number;
  /** The application name of the background worker that runs it. */
  readonly name: string;
}

/** Those that run on their own: one that a person has paused stays so. */
function readPolicies(sql: Sql): Promise<readonly Policy[]> {
  return sql<Policy[]>`
    select job.job_id as job, job.application_name as name
    from timescaledb_information.jobs job, timescaledb_information.continuous_aggregates view
    where job.scheduled and job.proc_name = 'policy_refresh_continuous_aggregate'
      and view.view_schema = 'public' and view.view_name = 'price_history_daily'
      and (job.hypertable_schema, job.hypertable_name) in (
        (view.view_schema, view.view_name),
        (view.materialization_hypertable_schema, view.materialization_hypertable_name)
      )
    order by job.job_id`;
}

/** A run that began before the pause may still move the border. */
async function waitForWorkers(
  session: Session,
  names: readonly string[],
  { lockTimeoutMs = defaultLockTimeoutMs }: LockOptions,
): Promise<void> {
  const startedAt = performance.now();
  const look = async () => {
    session.throwIfInterrupted();
    const [worker] = await session.sql<{ pid: number; name: string }[]>`
      select pid, application_name as name from pg_stat_activity
      where datname = current_database()
        and application_name in (select json_array_elements_text(${JSON.stringify(names)}::text::json))
      limit 1`;
    if (worker) throw policyRuns(worker, performance.now() - startedAt);
  };
  await retry(look, {
    signal: session.signal,
    waitMs: ({ error, attempts, elapsedMs }) =>
      isError(error, 'lock-timeout') && elapsedMs < lockTimeoutMs
        ? backoffMs(attempts, { firstMs: 20, lastMs: 1_000 })
        : undefined,
  });
}

function policyRuns(
  { pid, name }: { readonly pid: number; readonly name: string },
  waitedMs: number,
) {
  return new CryptosenseDbError(
    'lock-timeout',
    {
      message: `the job "${name}" is running; this run waited ${(waitedMs / 1000).toFixed(1)} s`,
      evidence: ['candles of new days could vanish while it stores others'],
      hint: `wait until it ends, wait longer with --lock-timeout, or end it with: select pg_terminate_backend(${pid})`,
    },
    { details: { holder: undefined, waitedMs } },
  );
}
