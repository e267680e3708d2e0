import { dollars, type PricedAsset, type TimeRange, type UnknownAsset } from './prices.ts';

export interface PairNames {
  readonly quote: string;
  /** By symbol. */
  readonly pairs: Readonly<Record<string, string>>;
}

/**
 * The base currency that Binance lists an asset under, by CoinGecko's id. An asset that was renamed has a base for the
 * time before `until`, which is the first day of the new name.
 */
const bases: Readonly<
  Record<string, readonly { readonly base: string; readonly until?: string }[]>
> = {
  aave: [{ base: 'AAVE' }],
  algorand: [{ base: 'ALGO' }],
  aptos: [{ base: 'APT' }],
  arbitrum: [{ base: 'ARB' }],
  'avalanche-2': [{ base: 'AVAX' }],
  binancecoin: [{ base: 'BNB' }],
  bitcoin: [{ base: 'BTC' }],
  'bitcoin-cash': [{ base: 'BCH' }],
  cardano: [{ base: 'ADA' }],
  chainlink: [{ base: 'LINK' }],
  cosmos: [{ base: 'ATOM' }],
  dogecoin: [{ base: 'DOGE' }],
  ethereum: [{ base: 'ETH' }],
  'ethereum-classic': [{ base: 'ETC' }],
  filecoin: [{ base: 'FIL' }],
  'hedera-hashgraph': [{ base: 'HBAR' }],
  'injective-protocol': [{ base: 'INJ' }],
  'internet-computer': [{ base: 'ICP' }],
  litecoin: [{ base: 'LTC' }],
  near: [{ base: 'NEAR' }],
  optimism: [{ base: 'OP' }],
  pepe: [{ base: 'PEPE' }],
  polkadot: [{ base: 'DOT' }],
  'polygon-ecosystem-token': [{ base: 'MATIC', until: '2024-09-13' }, { base: 'POL' }],
  'render-token': [{ base: 'RNDR', until: '2024-07-26' }, { base: 'RENDER' }],
  ripple: [{ base: 'XRP' }],
  'shiba-inu': [{ base: 'SHIB' }],
  solana: [{ base: 'SOL' }],
  stellar: [{ base: 'XLM' }],
  sui: [{ base: 'SUI' }],
  'the-graph': [{ base: 'GRT' }],
  'the-open-network': [{ base: 'TON' }],
  tron: [{ base: 'TRX' }],
  uniswap: [{ base: 'UNI' }],
  vechain: [{ base: 'VET' }],
};

/** A range in which an asset has one pair, such as `BTCUSDT`. */
export interface PairRange extends TimeRange {
  readonly pair: string;
}

/** The pairs that an asset has within a range, in order of time; none for an asset that `findPairs` returns. */
export function pairsIn(
  { id, symbol }: PricedAsset,
  { from, to }: TimeRange,
  { quote, pairs }: PairNames,
): readonly PairRange[] {
  const named = Object.hasOwn(pairs, symbol) ? pairs[symbol] : undefined;
  if (named !== undefined) return [{ pair: named, from, to }];
  const known = Object.hasOwn(bases, id) ? (bases[id] ?? []) : [];
  const startOfDay = (day: string | undefined) => (day === undefined ? undefined : Date.parse(day));
  return known
    .map(({ base, until }, index) => ({
      pair: `${base}${quote}`,
      from: Math.max(from, startOfDay(known[index - 1]?.until) ?? from),
      to: Math.min(to, startOfDay(until) ?? to),
    }))
    .filter((each) => each.from < each.to);
}

/** The assets that neither the table nor `pairs` has a pair for. */
export function findPairs(
  assets: readonly PricedAsset[],
  { quote, pairs }: PairNames,
): readonly UnknownAsset[] {
  return assets
    .filter(({ id, symbol }) => !Object.hasOwn(pairs, symbol) && !Object.hasOwn(bases, id))
    .map((asset) => ({
      asset,
      hint:
        asset.symbol === quote
          ? `leave it out: prices are in ${quote}; or use --source coingecko`
          : `name its pair on Binance: --pair ${asset.symbol}=${asset.symbol}${quote}`,
    }));
}

/** The symbol that a pair such as `BTCUSDT` stands for; undefined when it is not in the quote currency. */
export function baseOfPair(pair: string, { quote, pairs }: PairNames): string | undefined {
  const [named] = Object.entries(pairs).find(([, each]) => each === pair) ?? [];
  if (named !== undefined) return named;
  const splits = splitPair(pair, dollars);
  const known = splits.filter(({ base }) => knownBases.has(base));
  // BNBUSD is BNB in USD, and BTCBUSD is BTC in BUSD.
  const [split] = known.length === 1 ? known : splits;
  return split?.quote === quote ? split.base : undefined;
}

const knownBases = new Set(Object.values(bases).flatMap((each) => each.map(({ base }) => base)));

/** Kraken's names where they differ from the usual ones. */
const krakenNames: Readonly<Record<string, string>> = { XBT: 'BTC', XDG: 'DOGE' };

/**
 * The symbol that a pair of Kraken such as `XBTUSD` stands for; undefined when it is not in USD, USDT or USDC. Few trade
 * the pairs in PYUSD.
 */
export function baseOfKrakenPair(pair: string): string | undefined {
  const [split] = splitPair(pair, ['USD', 'USDT', 'USDC', 'PYUSD']);
  if (!split || split.quote === 'PYUSD') return undefined;
  return krakenNames[split.base] ?? split.base;
}

/** The ways to read a pair as a base and one of the currencies, the longest currency first. */
function splitPair<Quote extends string>(
  pair: string,
  quotes: readonly Quote[],
): readonly { readonly base: string; readonly quote: Quote }[] {
  return quotes
    .filter((quote) => pair.endsWith(quote) && pair.length > quote.length)
    .sort((a, b) => b.length - a.length)
    .map((quote) => ({ base: pair.slice(0, -quote.length), quote }));
}
