import { type BinanceOptions, createBinanceSource } from './binance.ts';
import type { CoinGeckoOptions } from './coingecko.ts';
import { createCoinGeckoSource } from './coingecko-prices.ts';
import type { PriceSource, seriesSources } from './prices.ts';

export type { Plan } from './coingecko.ts';

/** How to reach a source of prices; each takes what concerns it. */
export type SourceOptions = CoinGeckoOptions & BinanceOptions;

/** A source that is asked by asset and range. `now` is the database's clock, in milliseconds since 1970. */
export function createSource(
  name: (typeof seriesSources)[number],
  options: SourceOptions,
  { now }: { readonly now: number },
): PriceSource {
  return name === 'binance'
    ? createBinanceSource(options, { now })
    : createCoinGeckoSource(options, { now });
}
