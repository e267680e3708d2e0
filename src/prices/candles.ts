import { quoteIdentifier, type Session, type Sql } from '../database/connection.ts';
import { isLockConflict } from '../database/lock.ts';
import { sqlErrorCodes, sqlState } from '../database/sql-errors.ts';
import { readUpkeep, recordRefreshed } from '../ledger/price-upkeep.ts';
import { endOf, startOf, type TimeRange } from '../market/prices.ts';
import { dayMs } from '../runtime/days.ts';
import { backoffMs, type FailedAttempt, retry } from '../runtime/retry.ts';
import { resumePolicies } from './policy.ts';

/**
 * Refreshes `price_history_daily` over the range that imports owe, in one call and never past the start of today in
 * UTC: once today is stored, its candle does not show later prices. Then lets the policies run that were paused until
 * then. When it fails, the range stays owed, and the policies paused.
 */
export async function refreshOwed(session: Session): Promise<void> {
  const { sql } = session;
  const owed = await readUpkeep(sql);
  if (owed?.candles && owed.newest !== undefined) {
    const range = await completeDays(sql, owed.candles);
    if (range) await refresh(session, await withComputedDays(sql, range));
    await recordRefreshed(sql, owed.newest);
  }
  await resumePolicies(session);
}

/** The whole days of a range before today; undefined when there is none. */
export async function completeDays(sql: Sql, range: TimeRange): Promise<TimeRange | undefined> {
  const [{ today }] = await sql<[{ today: Date }]>`select date_trunc('day', now(), 'UTC') as today`;
  const from = startOf(range.from, 'daily');
  const to = Math.min(endOf(range.to, 'daily'), today.getTime());
  return from < to ? { from, to } : undefined;
}

/**
 * A range that begins with the first day that TimescaleDB computes from the prices, when that is earlier. A refresh
 * moves the border to the end of its range; computed days before the border would vanish.
 */
async function withComputedDays(sql: Sql, { from, to }: TimeRange): Promise<TimeRange> {
  const border = await readBorder(sql);
  const [{ first }] = await sql<[{ first: Date | null }]>`
    select min("time") as first from price_history
    where "time" >= ${new Date(border)} and "time" < ${new Date(from)}`;
  return { from: first === null ? from : startOf(first.getTime(), 'daily'), to };
}

/** The end of the last stored day, in milliseconds since 1970; 0 without one. Later days are computed from the prices. */
async function readBorder(sql: Sql): Promise<number> {
  const [store] = await sql<{ schema: string; name: string }[]>`
    select materialization_hypertable_schema as schema, materialization_hypertable_name as name
    from timescaledb_information.continuous_aggregates
    where view_schema = 'public' and view_name = 'price_history_daily'`;
  if (!store) throw new Error('price_history_daily is no continuous aggregate');
  const [{ last }] = await sql.unsafe<[{ last: Date | null }]>(
    `select max(day) as last from ${quoteIdentifier(store.schema, store.name)}`,
  );
  return last === null ? 0 : last.getTime() + dayMs;
}

/** A policy or another session works on the same chunks. */
export function isTransient(error: unknown): boolean {
  return isLockConflict(error) || sqlState(error) === sqlErrorCodes.serializationFailure;
}

/** TimescaleDB refuses the call inside a transaction. Another session may hold a lock for a moment. */
async function refresh(session: Session, { from, to }: TimeRange): Promise<void> {
  const call = () => {
    session.throwIfInterrupted();
    return session.sql`
      call refresh_continuous_aggregate(
        'price_history_daily', ${new Date(from)}::timestamptz, ${new Date(to)}::timestamptz
      )`;
  };
  const waitMs = ({ error, attempts }: FailedAttempt) =>
    attempts < 8 && isTransient(error) ? backoffMs(attempts, { firstMs: 250 }) : undefined;
  await retry(call, { signal: session.signal, waitMs });
  // TimescaleDB 2.28.3 leaves out the last of 31 days, and keeps it as one to refresh. A second call refreshes it, and
  // takes milliseconds where nothing is left.
  await retry(call, { signal: session.signal, waitMs });
}
