import type { Price } from '../market/prices.ts';
import { dayMs } from '../runtime/days.ts';

/** Prices that one transaction writes. */
export interface Portion {
  readonly prices: readonly Price[];
  /** When all candles that are owed have to be refreshed: once these prices are written, and before it. */
  readonly refresh: 'none' | 'after' | 'before and after';
}

export interface CandleState {
  /** The start of today in UTC. */
  readonly today: number;
  /** Days before this moment show the candles that a refresh has stored. Later days are computed from the prices. */
  readonly storedUntil: number;
}

/** More than the three days that the hourly policy refreshes. */
const policyDays = 4;

/**
 * Divides prices so that no candle vanishes, whenever the hourly policy runs.
 *
 * TimescaleDB computes the candles of later days from the prices, and shows stored candles for the days before. The
 * policy stores the last days only, and thereby moves the border past all days before them: their candles vanish until
 * they are refreshed. So the border is moved deliberately: store what is there, write the newest complete day, and
 * store it; days that the policy does not reach are stored once they are written. Prices older than the border appear
 * with the refresh at the end of the import.
 */
export function inSafeOrder(
  prices: readonly Price[],
  { today, storedUntil }: CandleState,
): readonly Portion[] {
  const recent = today - policyDays * dayMs;
  let newest = Number.NEGATIVE_INFINITY;
  for (const { time } of prices) if (time < today && time > newest) newest = time;
  const newestDay = Math.floor(newest / dayMs) * dayMs;
  if (newestDay < storedUntil) return [{ prices, refresh: 'none' }];
  if (newestDay < recent) return [{ prices, refresh: 'after' }];
  const portions: readonly Portion[] = [
    { prices: prices.filter(({ time }) => time >= storedUntil && time < recent), refresh: 'none' },
    { prices: prices.filter(({ time }) => time >= newestDay), refresh: 'before and after' },
    {
      prices: prices.filter(
        ({ time }) => time < newestDay && (time < storedUntil || time >= recent),
      ),
      refresh: 'none',
    },
  ];
  return portions.filter((portion) => portion.prices.length > 0);
}

/** The border after the newest complete day of these prices is stored. */
export function storedAfter(prices: readonly Price[], { today, storedUntil }: CandleState): number {
  let newest = storedUntil - dayMs;
  for (const { time } of prices) if (time < today && time > newest) newest = time;
  return Math.floor(newest / dayMs) * dayMs + dayMs;
}
