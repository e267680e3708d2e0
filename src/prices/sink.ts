import type { Session } from '../database/connection.ts';
import type { Price } from '../market/prices.ts';
import { type RefreshedCandles, refreshOwed, storeCandles } from './candles.ts';
import { inSafeOrder, storedAfter } from './safe-order.ts';
import { countMisfits, type Misfit, writePrices } from './writer.ts';

/** Takes the prices of an import, piece by piece. */
export interface PriceSink {
  /**
   * Writes a piece and returns how many of its rows are new. `record` runs in the transaction of the last of them, so
   * that a piece is recorded only when it is complete.
   */
  readonly write: (
    prices: readonly Price[],
    piece: { readonly source: string; readonly record: () => Promise<unknown> },
  ) => Promise<number>;
  readonly misfits: () => readonly Misfit[];
  /** Refreshes the candles that are still owed; returns the range of all refreshes of this import. */
  readonly finish: () => Promise<RefreshedCandles | undefined>;
}

/** Stores the candles of the prices that are there, and returns a sink whose writes make none of them vanish. */
export async function openSink(
  session: Session,
  { isOverwriting }: { readonly isOverwriting: boolean },
): Promise<PriceSink> {
  let candles = await storeCandles(session);
  const misfits = countMisfits();
  let refreshed: RefreshedCandles | undefined;
  let isRepeat = false;
  const refresh = async () => {
    const range = await refreshOwed(session);
    if (range) {
      refreshed = {
        from: Math.min(range.from, refreshed?.from ?? range.from),
        to: Math.max(range.to, refreshed?.to ?? range.to),
      };
    }
    return refreshed;
  };
  return {
    misfits: misfits.list,
    finish: refresh,
    write: async (prices, { source, record }) => {
      const portions = inSafeOrder(misfits.fit(prices), candles);
      // A piece without prices is recorded as well: the source has been asked.
      const all = portions.length > 0 ? portions : [{ prices: [], refresh: 'none' as const }];
      let rows = 0;
      for (const [index, portion] of all.entries()) {
        const isLast = index === all.length - 1;
        if (portion.refresh === 'before and after') await refresh();
        const written = await writePrices(session, portion.prices, {
          source,
          isOverwriting,
          isRepeat,
          record: async () => {
            if (isLast) await record();
          },
        });
        rows += written.rows;
        isRepeat = written.isRepeat;
        if (portion.refresh === 'before and after') {
          await refresh();
          candles = { ...candles, storedUntil: storedAfter(portion.prices, candles) };
        }
      }
      return rows;
    },
  };
}
