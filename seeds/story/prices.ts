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
 * Bitcoin prices of the last 1,440 minutes. The last is 43,000 USD, and none is more than 500 USD from
 * it (9.1 of the specification).
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

/** Hourly prices of the last seven days for any other asset. The last is that of the catalogue. */
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

/** The change in percent since `back` prices before; null before the start of the series. */
export function changeOver(prices: readonly Price[], at: number, back: number): number | null {
  const [then, now] = [prices[at - back], prices[at]];
  return then && now ? (now.priceUsd / then.priceUsd - 1) * 100 : null;
}

/** The latest change in price of each asset, in percent. */
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
 * The price of an asset at a moment of the last ninety days: from its series, and before the series from
 * a daily walk that ends at its first price.
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
