import { type Session, withTransaction } from '../database/connection.ts';
import { copyFrom } from '../database/copy.ts';
import { isLockConflict } from '../database/lock.ts';
import { sqlErrorCodes, sqlState } from '../database/sql-errors.ts';
import { oweCandles } from '../ledger/price-imports.ts';
import type { Price, TimeRange } from '../market/prices.ts';
import { backoffMs, retry } from '../runtime/retry.ts';
import { fitPrice, type MisfitKind } from './fit.ts';

export interface WriteOptions {
  /** As `price_history.data_source` names the source. */
  readonly source: string;
  /** Rows of this source with the same asset and moment are replaced; rows of others stay in every case. */
  readonly isOverwriting: boolean;
  /** Runs in the transaction after the rows are written. */
  readonly record: () => Promise<unknown>;
}

const columns = '"time", asset_symbol, price_usd, market_cap_usd, volume_24h_usd, data_source';
const stage = 'pg_temp.cryptosense_db_prices';

/**
 * Writes prices with COPY, and records them, in one transaction. Rows that are there stay. Returns how many rows are
 * new. Where the table is empty in the range, COPY writes into it; else into a stage, so that compressed chunks are
 * touched only where a row is missing.
 */
export async function writePrices(
  session: Session,
  prices: readonly Price[],
  options: WriteOptions,
): Promise<number> {
  const { sql } = session;
  const range = rangeOf(prices);
  let isPlain =
    prices.length === 0 || (!options.isOverwriting && (await isEmpty(session, prices, range)));
  const write = () => {
    session.throwIfInterrupted();
    return withTransaction(sql, async () => {
      const rows = isPlain
        ? await copyPlain(session, prices, options)
        : await copyThroughStage(session, prices, options);
      if (rows > 0) await oweCandles(sql, range);
      await options.record();
      return rows;
    });
  };
  return retry(write, {
    signal: session.signal,
    waitMs: ({ error, attempts }) => {
      if (isPlain && sqlState(error) === sqlErrorCodes.uniqueViolation) {
        // The prices repeat a moment, or another session has written one.
        isPlain = false;
        return 0;
      }
      return attempts < 8 && isLockConflict(error)
        ? backoffMs(attempts, { firstMs: 250 })
        : undefined;
    },
  });
}

function rangeOf(prices: readonly Price[]): TimeRange {
  let [from, to] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const { time } of prices) {
    if (time < from) from = time;
    if (time > to) to = time;
  }
  return { from, to: to + 1 };
}

async function isEmpty(
  { sql }: Session,
  prices: readonly Price[],
  { from, to }: TimeRange,
): Promise<boolean> {
  const symbols = JSON.stringify([...new Set(prices.map(({ symbol }) => symbol))]);
  const [{ isThere }] = await sql<[{ isThere: boolean }]>`
    select exists (
      select from json_array_elements_text(${symbols}::text::json) as asset (symbol)
      where exists (
        select from price_history
        where asset_symbol = asset.symbol and "time" >= ${new Date(from)} and "time" < ${new Date(to)}
      )
    ) as "isThere"`;
  return !isThere;
}

async function copyPlain(
  { sql }: Session,
  prices: readonly Price[],
  { source }: WriteOptions,
): Promise<number> {
  if (prices.length === 0) return 0;
  await copyFrom(sql, `copy price_history (${columns}) from stdin`, encode(prices, source));
  return prices.length;
}

async function copyThroughStage(
  { sql }: Session,
  prices: readonly Price[],
  { source, isOverwriting }: WriteOptions,
): Promise<number> {
  await sql.unsafe(
    `create temporary table ${stage} on commit drop as select ${columns} from price_history with no data`,
  );
  await copyFrom(sql, `copy ${stage} (${columns}) from stdin`, encode(prices, source));
  await sql.unsafe(`analyze ${stage}`);
  if (isOverwriting) {
    await sql.unsafe(`
      set local timescaledb.max_tuples_decompressed_per_dml_transaction = 0;
      delete from price_history own using ${stage} given
      where own."time" = given."time" and own.asset_symbol = given.asset_symbol
        and own.data_source = given.data_source`);
  }
  // The comparison leaves compressed chunks alone where nothing is missing; ON CONFLICT would not.
  const { count } = await sql.unsafe(`
    insert into price_history (${columns})
    select distinct on ("time", asset_symbol) ${columns} from ${stage} given
    where not exists (
      select from price_history own
      where own."time" = given."time" and own.asset_symbol = given.asset_symbol
    )
    order by "time", asset_symbol
    on conflict do nothing`);
  return count;
}

/** COPY's text format, in pieces of some hundred kilobytes. */
function* encode(prices: readonly Price[], source: string): Generator<Buffer> {
  let text = '';
  let time = Number.NaN;
  let moment = '';
  for (const price of prices) {
    if (price.time !== time) {
      time = price.time;
      moment = new Date(time).toISOString();
    }
    const { symbol, priceUsd, marketCapUsd, volume24hUsd } = price;
    text += `${moment}\t${symbol}\t${priceUsd}\t${marketCapUsd ?? '\\N'}\t${volume24hUsd ?? '\\N'}\t${source}\n`;
    if (text.length > 256 * 1024) {
      yield Buffer.from(text);
      text = '';
    }
  }
  if (text !== '') yield Buffer.from(text);
}

/** Counts what is said about prices, by asset. */
export interface Misfits {
  /** The prices that the columns can hold. */
  readonly fit: (prices: readonly Price[]) => readonly Price[];
  readonly list: () => readonly Misfit[];
}

export interface Misfit {
  readonly symbol: string;
  readonly kind: MisfitKind;
  readonly rows: number;
}

export function countMisfits(): Misfits {
  const counts = new Map<string, Misfit>();
  return {
    fit: (prices) =>
      prices.flatMap((price) => {
        const { fitted, misfits } = fitPrice(price);
        for (const kind of misfits) {
          const key = `${kind} ${price.symbol}`;
          const rows = (counts.get(key)?.rows ?? 0) + 1;
          counts.set(key, { symbol: price.symbol, kind, rows });
        }
        return fitted ?? [];
      }),
    list: () => [...counts.values()],
  };
}
