/** What CoinGecko says of an asset; null is what it does not say. */
export interface MarketAsset {
  /** CoinGecko's id, unique. */
  readonly id: string;
  /** In upper case; several assets can share one. */
  readonly symbol: string;
  readonly name: string;
  readonly imageUrl: string | null;
  /** 1 is the largest. */
  readonly rank: number | null;
  readonly priceUsd: number | null;
  readonly marketCapUsd: number | null;
  readonly volume24hUsd: number | null;
  /** In percent. */
  readonly change1h: number | null;
  readonly change24h: number | null;
  readonly change7d: number | null;
  readonly updatedAt: Date | null;
}

/** The largest assets, largest first. */
export interface Market {
  /** `snapshot`: the one that ships with the package, of ids, symbols and names only. */
  readonly source: 'coingecko' | 'file' | 'snapshot';
  readonly takenAt: Date;
  readonly assets: readonly MarketAsset[];
}
