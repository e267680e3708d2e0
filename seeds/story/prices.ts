import { type CatalogueAsset, catalogue } from './catalogue.ts';
import { fakerOf } from './chance.ts';
import { before, dayMs, hourMs, minuteMs } from './time.ts';
import { walk } from './walk.ts';

export interface Price {
  readonly time: Date;
  readonly priceUsd: number;
}

interface Moment {
  readonly seed: number;
  readonly now: Date;
}

export const bitcoinMinutes = 1_440;
export const bitcoinVolumeUsd = 28_000_000_000;
export const hours = 7 * 24;

/**
 * Bitcoin, a price for each of the last 1,440 minutes, within 500 USD of the 43,000 at which it ends
 * (9.1 of the specification).
 */
export function bitcoinPrices({ seed, now }: Moment): readonly Price[] {
  const values = walk(fakerOf(seed, 'prices BTC'), bitcoinMinutes, {
    end: 43_000,
    step: 12,
    pull: 0.002,
    reach: 500,
  });
  return values.map((priceUsd, index) => ({
    time: before(now, (bitcoinMinutes - index) * minuteMs),
    priceUsd,
  }));
}

/** Any other asset, a price an hour over the last seven days, which ends at the catalogue's. */
export function hourlyPrices(asset: CatalogueAsset, { seed, now }: Moment): readonly Price[] {
  const { symbol, priceUsd: end, dailyVolatility } = asset;
  const deviation = end * dailyVolatility;
  const values = walk(fakerOf(seed, `prices ${symbol}`), hours, {
    end,
    step: deviation / Math.sqrt(24),
    pull: 0.01,
    reach: 4 * deviation,
  });
  return values.map((priceUsd, index) => ({
    time: before(now, minuteMs + (hours - 1 - index) * hourMs),
    priceUsd,
  }));
}

export const otherAssets: readonly CatalogueAsset[] = catalogue.filter(
  ({ symbol }) => symbol !== 'BTC',
);

/** In percent, from so many prices before; null where the series does not reach so far back. */
export function changeOver(prices: readonly Price[], at: number, back: number): number | null {
  const [then, now] = [prices[at - back], prices[at]];
  return then && now ? (now.priceUsd / then.priceUsd - 1) * 100 : null;
}

/** How the price of each asset of the catalogue changed by now, in percent. */
export function latestChanges(moment: Moment): ReadonlyMap<string, LatestChange> {
  const bitcoin = bitcoinPrices(moment);
  return new Map([
    ['BTC', { day: changeOver(bitcoin, bitcoinMinutes - 1, bitcoinMinutes - 1), week: null }],
    ...otherAssets.map((asset) => {
      const prices = hourlyPrices(asset, moment);
      const at = hours - 1;
      return [
        asset.symbol,
        { day: changeOver(prices, at, 24), week: changeOver(prices, at, hours - 1) },
      ] as const;
    }),
  ]);
}

export interface LatestChange {
  readonly day: number | null;
  readonly week: number | null;
}

const daysBack = 90;

/**
 * What an asset cost at a moment of the last ninety days: its series where it has one, and before that
 * a walk by days that leads to it.
 */
export function priceHistory(asset: CatalogueAsset, moment: Moment): (at: Date) => number {
  const series = asset.symbol === 'BTC' ? bitcoinPrices(moment) : hourlyPrices(asset, moment);
  const [first] = series;
  if (!first) throw new Error(`${asset.symbol} has no prices`);
  const stepMs = asset.symbol === 'BTC' ? minuteMs : hourMs;
  const deviation = first.priceUsd * asset.dailyVolatility;
  const days = walk(fakerOf(moment.seed, `days ${asset.symbol}`), daysBack, {
    end: first.priceUsd,
    step: deviation,
    pull: 0.03,
    reach: first.priceUsd * 0.3,
  });
  return (at) => {
    const elapsedMs = at.getTime() - first.time.getTime();
    if (elapsedMs >= 0) {
      const index = Math.min(series.length - 1, Math.floor(elapsedMs / stepMs));
      return series[index]?.priceUsd ?? first.priceUsd;
    }
    const daysAgo = Math.floor(-elapsedMs / dayMs);
    return days[Math.max(0, days.length - 1 - daysAgo)] ?? first.priceUsd;
  };
}
