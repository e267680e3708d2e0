/** An asset as a source of prices describes it; null is a figure that the source does not give. */
export interface MarketAsset {
  /** CoinGecko's id, which is unique. */
  readonly id: string;
  /** In upper case. Several assets can share a symbol. */
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
  /** `snapshot`: the file in this package, with ids, symbols and names only. */
  readonly source: 'coingecko' | 'file' | 'snapshot';
  readonly takenAt: Date;
  readonly assets: readonly MarketAsset[];
}
