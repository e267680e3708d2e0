import type { Session } from '../database/connection.ts';
import { type LockOptions, withAdvisoryLock } from '../database/lock.ts';
import { readUpkeep, settleUpkeep } from '../ledger/price-upkeep.ts';
import type { Price, TimeRange } from '../market/prices.ts';
import { refreshOwed } from './candles.ts';
import { compressPartial } from './compression.ts';
import { countMisfits, fitPrice, type Misfit } from './fit.ts';
import { pausePolicies } from './policy.ts';
import { requireOwner } from './session.ts';
import { rangeOf, writePrices } from './writer.ts';

/** Takes the prices of an import, piece by piece. */
export interface PriceSink {
  /**
   * Writes a piece in one transaction, and returns how many of its rows are new. `record` runs in the same transaction,
   * so that a piece is recorded only when it is complete.
   */
  readonly write: (
    prices: readonly Price[],
    piece: { readonly source: string; readonly record?: () => Promise<unknown> },
  ) => Promise<number>;
}

export interface SinkOptions extends LockOptions {
  readonly isOverwriting?: boolean;
  /** Called before the candles are refreshed at the end. */
  readonly onCandles?: () => void;
}

export interface Sunk<T> extends Upkeep {
  /** What `use` returned. */
  readonly result: T;
  /** New rows. */
  readonly rows: number;
  /** Prices that the columns cannot hold as they are. */
  readonly misfits: readonly Misfit[];
}

export interface Upkeep {
  /** The days whose candles were refreshed, what an earlier import owed included; undefined when there was none. */
  readonly candles: TimeRange | undefined;
  /** Chunks that were compressed again. */
  readonly compressedChunks: number;
}

/** One import at a time in a database. Migrations may run meanwhile. */
const importLock = {
  lockClass: 842_341_073,
  lockObject: 1_867_245_301,
  name: 'the lock of price imports',
};

/**
 * Holds the lock of imports while `use` writes prices, and makes no candle vanish: the policies that refresh candles are
 * paused from the first piece on, until the candles of all pieces are refreshed in one call. Then compresses the chunks
 * that became partial, and analyzes the table. Needs a session that `prepareForPrices` has made ready. When `use` throws,
 * what was written stays, and its candles are refreshed. After an interruption or a kill they are owed in the ledger, the
 * policies stay paused, and the next call does what is owed.
 */
export async function withPriceSink<T>(
  session: Session,
  { isOverwriting = false, onCandles, ...lock }: SinkOptions,
  use: (sink: PriceSink) => Promise<T>,
): Promise<Sunk<T>> {
  return withAdvisoryLock(session, { ...lock, lock: importLock }, async () => {
    await requireOwner(session);
    // An import that was interrupted or killed may have left policies paused.
    await refreshOwed(session);
    const misfits = countMisfits();
    let rows = 0;
    let isRepeat = false;
    let paused: number | undefined;
    const write: PriceSink['write'] = async (prices, { source, record }) => {
      if (paused === undefined && prices.some((price) => fitPrice(price).fitted)) {
        paused = await pausePolicies(session, rangeOf(prices), lock);
      }
      const written = await writePrices(session, prices, {
        source,
        isOverwriting,
        isRepeat,
        record: async () => record?.(),
      });
      rows += written.rows;
      isRepeat = written.isRepeat;
      misfits.add(written.misfits);
      return written.rows;
    };
    try {
      const result = await use({ write });
      onCandles?.();
      return { result, rows, misfits: misfits.list(), ...(await keepUp(session)) };
    } catch (error) {
      // This fails after an interruption, and when the connection is lost.
      await refreshOwed(session).catch(() => {
        if (paused) lock.onProgress?.({ kind: 'policies-left-paused' });
      });
      throw error;
    }
  });
}

/** Does what is owed: the refresh of candles, the compression of partial chunks, and new statistics. */
async function keepUp(session: Session): Promise<Upkeep> {
  const { sql } = session;
  const candles = await refreshOwed(session);
  const owed = await readUpkeep(sql);
  if (!owed) return { candles: undefined, compressedChunks: 0 };
  const compressedChunks = await compressPartial(session, owed.range);
  await sql`analyze price_history`;
  await settleUpkeep(sql);
  return { candles, compressedChunks };
}
