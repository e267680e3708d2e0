import { quoteIdentifier, type Session, type Sql } from '../database/connection.ts';
import { isLockConflict } from '../database/lock.ts';
import { sqlErrorCodes, sqlState } from '../database/sql-errors.ts';
import { readUpkeep, recordRefreshed } from '../ledger/price-upkeep.ts';
import { endOf, type Price, startOf, type TimeRange } from '../market/prices.ts';
import { dayMs } from '../runtime/days.ts';
import { backoffMs, type FailedAttempt, retry } from '../runtime/retry.ts';
import { resumePolicies } from './policy.ts';

/**
 * The days that TimescaleDB computes from the prices, in milliseconds since 1970; it shows stored candles for the days
 * before. Today is always computed.
 */
export interface ComputedDays {
  /** The start of the first such day that has a price; Infinity without one. */
  readonly first: number;
  /** Candles are stored for the days before this moment, which is the end of the last stored one; 0 without one. */
  readonly border: number;
  /** The start of today in UTC. */
  readonly today: number;
}

/** The quoted name of the hypertable in which TimescaleDB stores the candles. */
export async function findStore({ sql }: Session): Promise<string> {
  const [store] = await sql<{ schema: string; name: string }[]>`
    select materialization_hypertable_schema as schema, materialization_hypertable_name as name
    from timescaledb_information.continuous_aggregates
    where view_schema = 'public' and view_name = 'price_history_daily'`;
  if (!store) throw new Error('price_history_daily is no continuous aggregate');
  return quoteIdentifier(store.schema, store.name);
}

export async function readComputedDays({ sql }: Session, store: string): Promise<ComputedDays> {
  const [row] = await sql.unsafe<[{ today: Date; last: Date | null }]>(
    `select date_trunc('day', now(), 'UTC') as today, (select max(day) from ${store}) as last`,
  );
  const border = row.last === null ? 0 : row.last.getTime() + dayMs;
  const [{ first }] = await sql<[{ first: Date | null }]>`
    select min("time") as first from price_history where "time" >= ${new Date(border)}`;
  return {
    first: first === null ? Number.POSITIVE_INFINITY : startOf(first.getTime(), 'daily'),
    border,
    today: row.today.getTime(),
  };
}

/**
 * The days that have to be stored together when these prices are written: from the first computed day to the last
 * complete day of the prices. Undefined when the prices have no complete day after the border.
 *
 * A refresh moves the border to the end of the last day that it stores. Computed days before it that it does not store
 * vanish, whether these prices or others are theirs.
 */
export function daysToStore(
  prices: readonly Price[],
  { first, border, today }: ComputedDays,
): TimeRange | undefined {
  let [oldest, newest] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const { time } of prices) {
    if (time < oldest) oldest = time;
    if (time < today && time > newest) newest = time;
  }
  if (newest < border) return undefined;
  return { from: Math.min(startOf(oldest, 'daily'), first), to: endOf(newest + 1, 'daily') };
}

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
    if (range) await refresh(session, range);
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
