import type { HistoricPrice } from '../../src/seeding/seeder.ts';
import type { CatalogueAsset } from './catalogue.ts';
import { fakerOf } from './chance.ts';
import { bitcoinPrices, hourlyPrices } from './prices.ts';
import { hourMs } from './time.ts';
import { walk } from './walk.ts';

/** The `data_source` of invented prices before the days that the seeder of prices writes. */
export const historySource = 'synthetic-history';

interface HistoryRange {
  readonly from: Date;
  readonly now: Date;
  readonly seed: number;
  readonly assets: readonly CatalogueAsset[];
}

/**
 * One price an hour for each asset, from `from` until the seeder's own prices begin; by asset, in
 * order of time. The logarithm of a price walks, so that prices rise and fall by factors and stay above zero.
 */
export function* historicPrices(range: HistoryRange): Generator<HistoricPrice> {
  for (const asset of range.assets) yield* pricesOf(asset, range);
}

/** How many prices `historicPrices` gives. */
export function countHistoricPrices(range: HistoryRange): number {
  return range.assets.reduce(
    (sum, asset) => sum + hoursOf(firstPrice(asset, range).time, range),
    0,
  );
}

function* pricesOf(asset: CatalogueAsset, range: HistoryRange): Generator<HistoricPrice> {
  const first = firstPrice(asset, range);
  const hours = hoursOf(first.time, range);
  const ratios = walk(fakerOf(range.seed, `history ${asset.symbol}`), hours, {
    end: 0,
    step: asset.dailyVolatility / Math.sqrt(24),
    pull: 0.0001,
    reach: 1.6,
  });
  const start = firstHour(range.from);
  for (const [index, ratio] of ratios.entries()) {
    const priceUsd = first.priceUsd * Math.exp(ratio);
    yield {
      symbol: asset.symbol,
      time: start + index * hourMs,
      priceUsd: priceUsd.toFixed(8),
      marketCapUsd: (priceUsd * asset.supply).toFixed(2),
      volume24hUsd: (asset.volume24hUsd * Math.exp(ratio)).toFixed(2),
    };
  }
}

/** The first price that the seeder writes of the asset. */
function firstPrice(asset: CatalogueAsset, moment: HistoryRange) {
  const [first] = asset.symbol === 'BTC' ? bitcoinPrices(moment) : hourlyPrices(asset, moment);
  if (!first) throw new Error(`${asset.symbol} has no prices`);
  return first;
}

function hoursOf(end: Date, { from }: HistoryRange): number {
  return Math.max(0, Math.ceil((end.getTime() - firstHour(from)) / hourMs));
}

function firstHour(from: Date): number {
  return Math.ceil(from.getTime() / hourMs) * hourMs;
}
