import { type Session, withTransaction } from '../database/connection.ts';
import { copyFrom } from '../database/copy.ts';
import { sqlErrorCodes, sqlState } from '../database/sql-errors.ts';
import { oweUpkeep } from '../ledger/price-upkeep.ts';
import type { Price, TimeRange } from '../market/prices.ts';
import { backoffMs, retry } from '../runtime/retry.ts';
import { isTransient } from './candles.ts';
import { fitPrice, type PriceMisfit } from './fit.ts';

export interface WriteOptions {
  /** As `price_history.data_source` names the source. */
  readonly source: string;
  /** Rows of this source with the same asset and moment are replaced; rows of others stay in every case. */
  readonly isOverwriting: boolean;
  /** Whether rows of these assets and moments are likely to be there: they are then looked up before the first try. */
  readonly isRepeat: boolean;
  /** Runs in the transaction after the rows are written. */
  readonly record: () => Promise<unknown>;
}

export interface Written {
  /** How many rows are new. */
  readonly rows: number;
  /** Whether a row was there already. */
  readonly isRepeat: boolean;
  /** What is said about prices that are written or left out. Nothing is said about those that are there already. */
  readonly misfits: readonly PriceMisfit[];
}

const columns = '"time", asset_symbol, price_usd, market_cap_usd, volume_24h_usd, data_source';
const stage = 'pg_temp.cryptosense_db_prices';

/**
 * Writes prices with COPY, and records them, in one transaction. Rows that are there stay. The first try writes all
 * prices; where the server finds a row of the same key, the next one leaves out the prices that are there. So an
 * import into an empty range looks nothing up, and one that brings nothing new leaves compressed chunks alone.
 */
export async function writePrices(
  session: Session,
  prices: readonly Price[],
  { source, isOverwriting, isRepeat, record }: WriteOptions,
): Promise<Written> {
  const { sql } = session;
  let isLookedUp = isRepeat || isOverwriting;
  const write = () => {
    session.throwIfInterrupted();
    return withTransaction(sql, async () => {
      if (isOverwriting && prices.length > 0) await deleteOwn(session, prices, source);
      const missing = isLookedUp ? await findMissing(session, prices) : prices;
      const fitted: FittedPrices = { rows: 0, misfits: [] };
      if (missing.length > 0) {
        const rows = encode(fitAll(missing, fitted), source);
        await copyFrom(sql, `copy price_history (${columns}) from stdin`, rows);
        if (fitted.rows > 0) await oweUpkeep(sql, rangeOf(missing));
      }
      await record();
      return { ...fitted, isRepeat: missing.length < prices.length };
    });
  };
  return retry(write, {
    signal: session.signal,
    waitMs: ({ error, attempts }) => {
      const isTaken = sqlState(error) === sqlErrorCodes.uniqueViolation;
      if (isTaken && !isLookedUp) {
        isLookedUp = true;
        return 0;
      }
      // Where the keys were looked up, another session has written a row since.
      const isWorthIt = attempts < 8 && (isTaken || isTransient(error));
      return isWorthIt ? backoffMs(attempts, { firstMs: 250 }) : undefined;
    },
  });
}

/** Of at least one price. */
export function rangeOf(prices: readonly Price[]): TimeRange {
  let [from, to] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const { time } of prices) {
    if (time < from) from = time;
    if (time >= to) to = time + 1;
  }
  return { from, to };
}

/** The prices without a row of the same asset and moment; of two prices for one moment, the first. */
async function findMissing(session: Session, prices: readonly Price[]): Promise<readonly Price[]> {
  const bySymbol = new Map<string, Price[]>();
  for (const price of prices) {
    const own = bySymbol.get(price.symbol);
    if (own) own.push(price);
    else bySymbol.set(price.symbol, [price]);
  }
  const missing = [...bySymbol].map(async ([symbol, own]) => {
    const taken = await readMoments(session, symbol, rangeOf(own));
    return own.filter(({ time }) => {
      if (taken.has(time)) return false;
      taken.add(time);
      return true;
    });
  });
  return (await Promise.all(missing)).flat();
}

/** In milliseconds since 1970. */
async function readMoments(
  { sql }: Session,
  symbol: string,
  { from, to }: TimeRange,
): Promise<Set<number>> {
  const rows = await sql<{ time: number }[]>`
    select extract(epoch from "time")::float8 * 1000 as "time" from price_history
    where asset_symbol = ${symbol} and "time" >= ${new Date(from)} and "time" < ${new Date(to)}`;
  return new Set(rows.map(({ time }) => time));
}

/** Deletes the rows of this source that the prices replace. */
async function deleteOwn(
  { sql }: Session,
  prices: readonly Price[],
  source: string,
): Promise<void> {
  await sql.unsafe(
    `create temporary table ${stage} on commit drop as select ${columns} from price_history with no data`,
  );
  const rows = encode(fitAll(prices, { rows: 0, misfits: [] }), source);
  await copyFrom(sql, `copy ${stage} (${columns}) from stdin`, rows);
  const { from, to } = rangeOf(prices);
  // Bounds and symbols as constants: the server decompresses what they leave, not what the join leaves.
  await sql`
    delete from price_history own using pg_temp.cryptosense_db_prices given
    where own."time" = given."time" and own.asset_symbol = given.asset_symbol
      and own.data_source = given.data_source
      and own."time" >= ${new Date(from)} and own."time" < ${new Date(to)}
      and own.asset_symbol in ${sql([...new Set(prices.map(({ symbol }) => symbol))])}`;
}

interface FittedPrices {
  rows: number;
  readonly misfits: PriceMisfit[];
}

/** The prices as the columns can hold them, while the server takes those before them. Counts into `fitted`. */
function* fitAll(prices: readonly Price[], fitted: FittedPrices): Generator<Price> {
  for (const price of prices) {
    const { fitted: row, misfits } = fitPrice(price);
    for (const kind of misfits) fitted.misfits.push({ symbol: price.symbol, kind });
    if (!row) continue;
    fitted.rows += 1;
    yield row;
  }
}

/** COPY's text format, in pieces of some hundred kilobytes. */
function* encode(prices: Iterable<Price>, source: string): Generator<Buffer> {
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
