import { type CatalogueAsset, catalogue } from './catalogue.ts';
import { fakerOf } from './chance.ts';
import { before, hourMs, minuteMs } from './time.ts';
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
