/** An asset of the development data. Its figures are synthetic and belong to no particular day. */
export interface CatalogueAsset {
  readonly symbol: string;
  readonly coingeckoId: string;
  readonly name: string;
  readonly priceUsd: number;
  /** Coins in circulation. */
  readonly supply: number;
  readonly volume24hUsd: number;
  /** The standard deviation of a day's change, as a fraction of the price. */
  readonly dailyVolatility: number;
  /** The decimals of a traded quantity. */
  readonly decimals: number;
}

/** The `data_source` of invented prices and sentiment. */
export const syntheticSource = 'synthetic';

const asset = (
  symbol: string,
  coingeckoId: string,
  name: string,
  figures: Omit<CatalogueAsset, 'symbol' | 'coingeckoId' | 'name'>,
): CatalogueAsset => ({ symbol, coingeckoId, name, ...figures });

/** The largest first. BTC, ETH and SOL have the prices of the specification (9.1). */
export const catalogue: readonly CatalogueAsset[] = [
  asset('BTC', 'bitcoin', 'Bitcoin', {
    priceUsd: 43_000,
    supply: 19_600_000,
    volume24hUsd: 28_000_000_000,
    dailyVolatility: 0.022,
    decimals: 8,
  }),
  asset('ETH', 'ethereum', 'Ethereum', {
    priceUsd: 2_300,
    supply: 120_200_000,
    volume24hUsd: 12_400_000_000,
    dailyVolatility: 0.028,
    decimals: 6,
  }),
  asset('USDT', 'tether', 'Tether', {
    priceUsd: 1,
    supply: 95_000_000_000,
    volume24hUsd: 52_000_000_000,
    dailyVolatility: 0.0003,
    decimals: 2,
  }),
  asset('BNB', 'binancecoin', 'BNB', {
    priceUsd: 310,
    supply: 149_500_000,
    volume24hUsd: 1_100_000_000,
    dailyVolatility: 0.025,
    decimals: 4,
  }),
  asset('SOL', 'solana', 'Solana', {
    priceUsd: 98,
    supply: 432_000_000,
    volume24hUsd: 2_300_000_000,
    dailyVolatility: 0.045,
    decimals: 4,
  }),
  asset('XRP', 'ripple', 'XRP', {
    priceUsd: 0.57,
    supply: 54_300_000_000,
    volume24hUsd: 1_200_000_000,
    dailyVolatility: 0.03,
    decimals: 2,
  }),
  asset('USDC', 'usd-coin', 'USDC', {
    priceUsd: 1,
    supply: 25_100_000_000,
    volume24hUsd: 7_600_000_000,
    dailyVolatility: 0.0002,
    decimals: 2,
  }),
  asset('ADA', 'cardano', 'Cardano', {
    priceUsd: 0.52,
    supply: 35_400_000_000,
    volume24hUsd: 430_000_000,
    dailyVolatility: 0.035,
    decimals: 2,
  }),
  asset('AVAX', 'avalanche-2', 'Avalanche', {
    priceUsd: 36,
    supply: 366_900_000,
    volume24hUsd: 780_000_000,
    dailyVolatility: 0.048,
    decimals: 4,
  }),
  asset('DOGE', 'dogecoin', 'Dogecoin', {
    priceUsd: 0.081,
    supply: 142_500_000_000,
    volume24hUsd: 620_000_000,
    dailyVolatility: 0.04,
    decimals: 1,
  }),
  asset('DOT', 'polkadot', 'Polkadot', {
    priceUsd: 7.2,
    supply: 1_270_000_000,
    volume24hUsd: 240_000_000,
    dailyVolatility: 0.036,
    decimals: 3,
  }),
  asset('LINK', 'chainlink', 'Chainlink', {
    priceUsd: 14.5,
    supply: 568_000_000,
    volume24hUsd: 510_000_000,
    dailyVolatility: 0.04,
    decimals: 3,
  }),
  asset('SHIB', 'shiba-inu', 'Shiba Inu', {
    priceUsd: 0.0000095,
    supply: 589_300_000_000_000,
    volume24hUsd: 160_000_000,
    dailyVolatility: 0.045,
    decimals: 0,
  }),
  asset('LTC', 'litecoin', 'Litecoin', {
    priceUsd: 70,
    supply: 74_100_000,
    volume24hUsd: 410_000_000,
    dailyVolatility: 0.03,
    decimals: 4,
  }),
  asset('ATOM', 'cosmos', 'Cosmos Hub', {
    priceUsd: 10.1,
    supply: 382_000_000,
    volume24hUsd: 190_000_000,
    dailyVolatility: 0.04,
    decimals: 3,
  }),
  asset('UNI', 'uniswap', 'Uniswap', {
    priceUsd: 6.3,
    supply: 598_000_000,
    volume24hUsd: 130_000_000,
    dailyVolatility: 0.042,
    decimals: 3,
  }),
  asset('XLM', 'stellar', 'Stellar', {
    priceUsd: 0.117,
    supply: 28_300_000_000,
    volume24hUsd: 90_000_000,
    dailyVolatility: 0.03,
    decimals: 1,
  }),
  asset('NEAR', 'near', 'NEAR Protocol', {
    priceUsd: 3.1,
    supply: 1_020_000_000,
    volume24hUsd: 210_000_000,
    dailyVolatility: 0.05,
    decimals: 3,
  }),
  asset('APT', 'aptos', 'Aptos', {
    priceUsd: 9.2,
    supply: 327_000_000,
    volume24hUsd: 170_000_000,
    dailyVolatility: 0.05,
    decimals: 3,
  }),
  asset('AAVE', 'aave', 'Aave', {
    priceUsd: 95,
    supply: 14_700_000,
    volume24hUsd: 110_000_000,
    dailyVolatility: 0.045,
    decimals: 4,
  }),
];

/** Throws for a symbol that is not in the catalogue. */
export function assetOf(symbol: string): CatalogueAsset {
  const found = catalogue.find((entry) => entry.symbol === symbol);
  if (!found) throw new Error(`the catalogue has no ${symbol}`);
  return found;
}
