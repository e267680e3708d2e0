import type { Session } from '../database/connection.ts';
import { type LockOptions, withAdvisoryLock } from '../database/lock.ts';
import { readUpkeep, settleUpkeep } from '../ledger/price-upkeep.ts';
import type { Price, TimeRange } from '../market/prices.ts';
import { completeDays, daysToStore, findStore, readComputedDays, refreshOwed } from './candles.ts';
import { compressPartial } from './compression.ts';
import { pausePolicies, resumePolicies } from './policy.ts';
import { countMisfits, type Misfit, writePrices } from './writer.ts';

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
  /** The range of candles that was refreshed; undefined when there was none. */
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
 * Holds the lock of imports while `use` writes prices, and makes no candle vanish: the policies are paused while a piece
 * adds days that are not stored yet, until these are stored. Candles of other days appear with the refresh at the end.
 * Then compresses the chunks that became partial, and analyzes the table. Needs a session that `prepareForPrices` has
 * made ready. When `use` throws, or the process is killed, what was written stays; what is still to be done for it is
 * owed in the ledger, and the next call does it.
 */
export async function withPriceSink<T>(
  session: Session,
  { isOverwriting = false, onCandles, ...lock }: SinkOptions,
  use: (sink: PriceSink) => Promise<T>,
): Promise<Sunk<T>> {
  return withAdvisoryLock(session, { ...lock, lock: importLock }, async () => {
    // An import that was killed may have left policies paused.
    await refreshOwed(session);
    const misfits = countMisfits();
    const store = await findStore(session);
    let rows = 0;
    let isRepeat = false;
    const result = await use({
      write: async (prices, { source, record }) => {
        const fitting = misfits.fit(prices);
        const write = () =>
          writePrices(session, fitting, {
            source,
            isOverwriting,
            isRepeat,
            record: async () => record?.(),
          });
        const days = daysToStore(fitting, await readComputedDays(session, store));
        const written = days ? await withPoliciesPaused(session, days, lock, write) : await write();
        rows += written.rows;
        isRepeat = written.isRepeat;
        return written.rows;
      },
    });
    onCandles?.();
    return { result, rows, misfits: misfits.list(), ...(await keepUp(session)) };
  });
}

/** Writes prices of days that are not stored yet, and stores these days. */
async function withPoliciesPaused<T>(
  session: Session,
  days: TimeRange,
  lock: LockOptions,
  write: () => Promise<T>,
): Promise<T> {
  let written: T;
  try {
    await pausePolicies(session, days, lock);
    written = await write();
  } catch (error) {
    // Nothing was written. Where even this fails, the policies stay paused until the next import.
    await resumePolicies(session).catch(() => {});
    throw error;
  }
  await refreshOwed(session);
  return written;
}

/** Does what is owed: the refresh of candles, the compression of partial chunks, and new statistics. */
async function keepUp(session: Session): Promise<Upkeep> {
  const { sql } = session;
  await refreshOwed(session);
  const owed = await readUpkeep(sql);
  if (!owed) return { candles: undefined, compressedChunks: 0 };
  const compressedChunks = await compressPartial(session, owed.range);
  await sql`analyze price_history`;
  await settleUpkeep(sql);
  return { candles: await completeDays(sql, owed.range), compressedChunks };
}
