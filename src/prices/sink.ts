import type { Session } from '../database/connection.ts';
import { type LockOptions, withAdvisoryLock } from '../database/lock.ts';
import type { Price } from '../market/prices.ts';
import {
  compressPartial,
  findStore,
  type RefreshedCandles,
  readCandleState,
  refreshOwed,
  storeCandles,
} from './candles.ts';
import { type CandleState, inSafeOrder, storedAfter } from './safe-order.ts';
import { countMisfits, type Misfit, writePrices } from './writer.ts';

/** Takes the prices of an import, piece by piece. */
export interface PriceSink {
  /**
   * Writes a piece and returns how many of its rows are new. `record` runs in the transaction of the last of them, so
   * that a piece is recorded only when it is complete.
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

export interface Sunk {
  /** New rows. */
  readonly rows: number;
  /** Prices that the columns cannot hold as they are. */
  readonly misfits: readonly Misfit[];
  /** Undefined when no candle was refreshed. */
  readonly candles: RefreshedCandles | undefined;
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
 * Holds the lock of imports while `use` writes prices, and makes no candle vanish: stores the candles of the prices
 * that are there before the first write, looks before each piece whether a policy has stored later days, and refreshes
 * at the end what is owed. Then compresses the chunks that became partial, and analyzes the table. Needs a session that
 * `prepareForPrices` has made ready. When `use` throws, what it has written stays, and its candles are owed in the
 * database.
 */
export async function withPriceSink(
  session: Session,
  { isOverwriting = false, onCandles, ...lock }: SinkOptions,
  use: (sink: PriceSink) => Promise<void>,
): Promise<Sunk> {
  return withAdvisoryLock(session, { ...lock, lock: importLock }, async () => {
    const misfits = countMisfits();
    const refreshed = trackRefreshes(session);
    const store = await findStore(session);
    let state: CandleState | undefined;
    let rows = 0;
    let isRepeat = false;
    await use({
      write: async (prices, { source, record }) => {
        const before = rows;
        const known = state ?? (await storeCandles(session));
        let current = await readCandleState(session, { store, before: known });
        // A policy has stored later days meanwhile: those before them are shown once they are refreshed.
        if (current.storedUntil > known.storedUntil) await refreshed.refresh();
        const portions = inSafeOrder(misfits.fit(prices), current);
        // A piece without prices is recorded as well: the source has been asked.
        const all = portions.length > 0 ? portions : [{ prices: [], refresh: 'none' as const }];
        for (const [index, portion] of all.entries()) {
          const isLast = index === all.length - 1;
          if (portion.refresh === 'before and after') await refreshed.refresh();
          const written = await writePrices(session, portion.prices, {
            source,
            isOverwriting,
            isRepeat,
            record: async () => {
              if (isLast) await record?.();
            },
          });
          rows += written.rows;
          isRepeat = written.isRepeat;
          if (portion.refresh !== 'none') {
            await refreshed.refresh();
            current = { ...current, storedUntil: storedAfter(portion.prices, current) };
          }
        }
        state = current;
        return rows - before;
      },
    });
    onCandles?.();
    const candles = await refreshed.refresh();
    const compressedChunks = candles ? await compressPartial(session, candles) : 0;
    if (rows > 0) await session.sql`analyze price_history`;
    return { rows, misfits: misfits.list(), candles, compressedChunks };
  });
}

/** Refreshes what is owed, and returns the range of all refreshes so far. */
function trackRefreshes(session: Session) {
  let all: RefreshedCandles | undefined;
  const refresh = async () => {
    const range = await refreshOwed(session);
    if (range) {
      all = {
        from: Math.min(range.from, all?.from ?? range.from),
        to: Math.max(range.to, all?.to ?? range.to),
      };
    }
    return all;
  };
  return { refresh };
}
