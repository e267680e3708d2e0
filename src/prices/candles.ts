import { quoteIdentifier, type Session, type Sql } from '../database/connection.ts';
import { isLockConflict } from '../database/lock.ts';
import { sqlErrorCodes, sqlState } from '../database/sql-errors.ts';
import { readOwedCandles, settleCandles } from '../ledger/price-imports.ts';
import { endOf, startOf } from '../market/prices.ts';
import { dayMs } from '../runtime/days.ts';
import { backoffMs, type FailedAttempt, retry } from '../runtime/retry.ts';
import type { CandleState } from './safe-order.ts';

/** The range of candles that a refresh covered, in milliseconds since 1970. */
export interface RefreshedCandles {
  readonly from: number;
  readonly to: number;
}

/**
 * Refreshes `price_history_daily` over every range that an import owes, in one call and never past the start of today
 * in UTC: once today is stored, its candle does not show later prices. Returns undefined when nothing is owed. When it
 * fails, the range stays owed.
 */
export async function refreshOwed(session: Session): Promise<RefreshedCandles | undefined> {
  const { sql } = session;
  const owed = await readOwedCandles(sql);
  if (!owed) return undefined;
  const today = await startOfToday(sql);
  const range = { from: startOf(owed.from, 'daily'), to: Math.min(endOf(owed.to, 'daily'), today) };
  if (range.from < range.to) await refresh(session, range);
  await settleCandles(sql, owed.last);
  return range.from < range.to ? range : undefined;
}

/** A policy or another session works on the same chunks. */
export function isTransient(error: unknown): boolean {
  return isLockConflict(error) || sqlState(error) === sqlErrorCodes.serializationFailure;
}

/** TimescaleDB refuses the call inside a transaction. The hourly policy may hold a lock for a moment. */
async function refresh(session: Session, { from, to }: RefreshedCandles): Promise<void> {
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

/**
 * Stores the candles of every complete day that has prices, and says up to which day candles are stored. From then on
 * the hourly policy cannot move that border past prices that were there before.
 */
export async function storeCandles(session: Session): Promise<CandleState> {
  const { sql } = session;
  await refreshOwed(session);
  const today = await startOfToday(sql);
  const [ends] = await sql<[{ first: Date | null; last: Date | null }]>`
    select min("time") as first, max("time") as last
    from price_history where "time" < ${new Date(today)}`;
  if (ends.first === null || ends.last === null) return { today, storedUntil: 0 };
  const storedUntil = startOf(ends.last.getTime(), 'daily') + dayMs;
  await refresh(session, { from: startOf(ends.first.getTime(), 'daily'), to: storedUntil });
  return { today, storedUntil };
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

/** The state now: since `before`, the policy may have stored later days, or a new day may have begun. */
export async function readCandleState(
  { sql }: Session,
  { store, before }: { readonly store: string; readonly before: CandleState },
): Promise<CandleState> {
  const [row] = await sql.unsafe<{ today: Date; last: Date | null }[]>(
    `select date_trunc('day', now(), 'UTC') as today, (select max(day) from ${store}) as last`,
  );
  if (!row) return before;
  const storedUntil = row.last === null ? 0 : row.last.getTime() + dayMs;
  return {
    today: row.today.getTime(),
    storedUntil: Math.max(storedUntil, before.storedUntil),
  };
}

async function startOfToday(sql: Sql): Promise<number> {
  const [{ today }] = await sql<[{ today: Date }]>`select date_trunc('day', now(), 'UTC') as today`;
  return today.getTime();
}

/** Compresses again the chunks of a range that imported rows have left partially compressed; returns how many. */
export async function compressPartial(
  { sql }: Session,
  { from, to }: RefreshedCandles,
): Promise<number> {
  // Bit 3 of a chunk's status says that it is compressed in part (TimescaleDB, CHUNK_STATUS_COMPRESSED_PARTIAL).
  const chunks = await sql<{ name: string }[]>`
    select format('%I.%I', shown.chunk_schema, shown.chunk_name) as name
    from timescaledb_information.chunks shown
    join _timescaledb_catalog.chunk chunk
      on chunk.schema_name = shown.chunk_schema and chunk.table_name = shown.chunk_name
    where shown.hypertable_schema = 'public' and shown.hypertable_name = 'price_history'
      and shown.range_start < ${new Date(to)} and shown.range_end > ${new Date(from)}
      and chunk.status & 8 > 0
    order by 1`;
  let compressed = 0;
  for (const { name } of chunks) {
    const done = await sql`select compress_chunk(${name}::regclass)`.catch((error: unknown) => {
      // The policy has the chunk, or a session writes to it: the next run of the policy compresses it.
      if (!isTransient(error)) throw error;
    });
    if (done) compressed += 1;
  }
  return compressed;
}
