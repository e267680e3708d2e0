import { quoteIdentifier, type Session, type Sql } from '../database/connection.ts';
import { isLockConflict } from '../database/lock.ts';
import { sqlErrorCodes, sqlState } from '../database/sql-errors.ts';
import { readUpkeep, recordRefreshed } from '../ledger/price-upkeep.ts';
import { startOf, type TimeRange } from '../market/prices.ts';
import { dayMs } from '../runtime/days.ts';
import { backoffMs, type FailedAttempt, retry } from '../runtime/retry.ts';
import { resumePolicies } from './policy.ts';

/**
 * Refreshes `price_history_daily` over the days that imports owe and all later ones, in one call and never past the start
 * of today in UTC: once today is stored, its candle does not show later prices. Then lets the policies run that were
 * paused until then. When it fails, the range stays owed, and the policies paused. Returns the days that were refreshed.
 */
export async function refreshOwed(session: Session): Promise<TimeRange | undefined> {
  const { sql } = session;
  const owed = await readUpkeep(sql);
  if (owed === undefined) return undefined;
  let days: TimeRange | undefined;
  if (owed.candles || owed.pausedJobs.length > 0) {
    days = await daysToStore(sql, owed.candles ?? owed.range);
    if (days) await refresh(session, days);
  }
  if (owed.newest !== undefined) await recordRefreshed(sql, owed.newest);
  await resumePolicies(session);
  return days;
}

/**
 * The days from the first one of a range to yesterday. A refresh moves the border to the end of its range, and the
 * policy moves it on to the last three days: computed days before the border that are not stored vanish. So the range
 * begins with the first computed day when that is earlier, and leaves none out up to today. It does not begin before the
 * oldest price: days whose prices were dropped keep their candles. Undefined when there is no such day.
 */
async function daysToStore(sql: Sql, { from }: TimeRange): Promise<TimeRange | undefined> {
  const border = new Date(await readBorder(sql));
  const [{ today, oldest, computed }] = await sql<
    [{ today: Date; oldest: Date | null; computed: Date | null }]
  >`
    select date_trunc('day', now(), 'UTC') as today, (select min("time") from price_history) as oldest,
      (select min("time") from price_history where "time" >= ${border}) as computed`;
  if (oldest === null) return undefined;
  const first = Math.max(Math.min(from, computed?.getTime() ?? from), oldest.getTime());
  const days = { from: startOf(first, 'daily'), to: today.getTime() };
  return days.from < days.to ? days : undefined;
}

/**
 * The moment before which only candles are kept: drop_chunks has removed the chunks of their prices. Undefined when each
 * stored candle's day has a chunk.
 */
export async function readCandlesOnly(sql: Sql): Promise<number | undefined> {
  const store = await findStore(sql);
  const [{ day }] = await sql.unsafe<[{ day: Date | null }]>(
    `select min(day) as day from ${store}`,
  );
  const [{ oldest }] = await sql<[{ oldest: Date | null }]>`
    select min(range_start) as oldest from timescaledb_information.chunks
    where hypertable_schema = 'public' and hypertable_name = 'price_history'`;
  return day !== null && oldest !== null && day < oldest ? oldest.getTime() : undefined;
}

/** The end of the last stored day, in milliseconds since 1970; 0 without one. Later days are computed from the prices. */
async function readBorder(sql: Sql): Promise<number> {
  const store = await findStore(sql);
  const [{ last }] = await sql.unsafe<[{ last: Date | null }]>(
    `select max(day) as last from ${store}`,
  );
  return last === null ? 0 : last.getTime() + dayMs;
}

/** The quoted name of the hypertable in which TimescaleDB stores the candles. */
async function findStore(sql: Sql): Promise<string> {
  const [store] = await sql<{ schema: string; name: string }[]>`
    select materialization_hypertable_schema as schema, materialization_hypertable_name as name
    from timescaledb_information.continuous_aggregates
    where view_schema = 'public' and view_name = 'price_history_daily'`;
  if (!store) throw new Error('price_history_daily is no continuous aggregate');
  return quoteIdentifier(store.schema, store.name);
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
