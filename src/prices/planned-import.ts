import type { Run } from '../ledger/run.ts';
import type { PricedAsset } from '../market/prices.ts';
import { isoDay } from '../runtime/days.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import { compareText } from '../runtime/order.ts';
import { assetsBySymbol, chooseAssets } from './assets.ts';
import type { FilesRequest, LeftOutPrices } from './files.ts';
import type { ImportOptions, Scope } from './request.ts';
import { importSeries, planSeries } from './series.ts';
import type { PriceSink } from './sink.ts';

/** What is to be read of an asset. */
export interface ImportedAsset {
  readonly symbol: string;
  readonly id: string;
  /** The months in which prices are missing. */
  readonly months: readonly ImportedMonth[];
  /** How many prices are missing at most. */
  readonly missing: number;
  readonly requests: number;
}

export interface ImportedMonth {
  /** `2024-01`, in UTC. */
  readonly month: string;
  /** How many prices are missing at most. */
  readonly missing: number;
}

export interface ImportedFiles {
  /** To be read. */
  readonly unread: readonly string[];
  /** Imported before. */
  readonly finished: readonly string[];
  /** Left out: their pairs are not in dollars, or not in that of `quote`. */
  readonly inOtherCurrency: readonly string[];
}

/** What is said of an import before it is written. */
export interface ImportPlan {
  /** The assets with missing prices. Empty for files. */
  readonly assets: readonly ImportedAsset[];
  /** The names of files. Empty for other sources. */
  readonly files: ImportedFiles;
  readonly requests: number;
  /** By the source's rate limit, without the time for writing. */
  readonly estimatedMs: number;
  /** Assets among the largest whose symbol a larger one or imported prices have, or that is too long. */
  readonly leftOut: readonly PricedAsset[];
  /** Assets among the largest that the source does not have. Assets that are named are refused instead. */
  readonly unknownToSource: readonly PricedAsset[];
}

export interface PlannedImport extends ImportPlan {
  readonly write: (sink: PriceSink) => Promise<WrittenImport>;
}

export interface WrittenImport {
  readonly leftOutPrices: LeftOutPrices;
  readonly filesWithoutPrices: readonly string[];
  /** Thrown once the candles of the rest are refreshed. */
  readonly failure?: CryptosenseDbError | undefined;
}

export const nothingLeftOut: LeftOutPrices = { tooOld: 0, inFuture: 0, ofSameMoment: 0 };

/** Compares what CoinGecko or Binance is asked for with the database. Throws as `planSeries` and `chooseAssets` do. */
export async function planSeriesImport(
  { session, onProgress }: Run,
  options: ImportOptions & { readonly source: 'coingecko' | 'binance' },
  { now, range, interval = 'daily' }: Scope,
): Promise<PlannedImport> {
  // Not before it is needed: it brings CoinGecko's client.
  const { createSource } = await import('../market/sources.ts');
  const { coins, top = 50, overwrite: isOverwriting = false } = options;
  const source = createSource(options.source, { ...options, onProgress }, { now });
  const { assets: chosen, leftOut } = await chooseAssets(session.sql, { coins, top });
  const unknownToSource =
    coins === undefined ? source.findUnknown(chosen).map(({ asset }) => asset) : [];
  const assets = chosen.filter((asset) => !unknownToSource.includes(asset));
  refuseUselessPairs(options.pairs, chosen);
  const plan = await planSeries(session, source, { assets, range, interval, isOverwriting });
  return {
    assets: plan.assets.map(({ asset: { id, symbol }, missing, queries }) => ({
      id,
      symbol,
      months: missing.map(({ month, expected, present }) => ({
        month: new Date(month).toISOString().slice(0, 7),
        missing: expected - present,
      })),
      missing: missing.reduce((sum, { expected, present }) => sum + expected - present, 0),
      requests: queries.reduce((sum, query) => sum + query.requests, 0),
    })),
    files: { unread: [], finished: [], inOtherCurrency: [] },
    leftOut,
    unknownToSource,
    requests: plan.requests,
    estimatedMs: plan.estimatedMs,
    write: async (sink) => ({
      leftOutPrices: nothingLeftOut,
      filesWithoutPrices: [],
      failure: await importSeries(session, { source, plan, sink, onProgress }),
    }),
  };
}

/** A mistyped symbol would leave its pair without effect. */
function refuseUselessPairs(
  pairs: ImportOptions['pairs'] = {},
  assets: readonly PricedAsset[],
): void {
  const useless = Object.keys(pairs).filter(
    (each) => !assets.some(({ symbol }) => symbol === each),
  );
  if (useless.length === 0) return;
  throw new CryptosenseDbError(
    'bad-configuration',
    useless.map((symbol) => ({
      message: `a pair is named for ${symbol}, of which no prices are imported`,
      hint: 'name a symbol of the import, such as BTC=BTCUSDT',
    })),
  );
}

/** Compares files with those that imports have read. Throws as `planFiles` does, and `unknown-asset`. */
export async function planFileImport(
  { session, onProgress }: Run,
  options: ImportOptions,
  { now, range, interval, isOpen }: Scope,
): Promise<PlannedImport> {
  // Not before it is needed: it brings the package that reads zips.
  const { importFiles, planFiles } = await import('./files.ts');
  const { files = '', quote = 'USDT', pairs = {}, overwrite: isOverwriting = false } = options;
  const names = { quote, pairs };
  const { days, from, to, coins } = options;
  const asked = [
    ...(interval === undefined ? [] : [interval]),
    ...(days === undefined ? [] : [`${days} days before ${isoDay(new Date(range.to))}`]),
    ...(from === undefined ? [] : [`from ${from.toISOString()}`]),
    ...(to === undefined ? [] : [`to ${to.toISOString()}`]),
    ...(coins === undefined ? [] : [...coins].sort(compareText)),
    ...Object.entries(pairs)
      .map(([symbol, pair]) => `${symbol}=${pair}`)
      .sort(compareText),
    ...(quote === 'USDT' ? [] : [quote]),
    // An import that replaces rows goes on where it was, and not where one that does not has been.
    ...(isOverwriting ? ['overwriting'] : []),
  ].join(' ');
  const lookUp = await assetsBySymbol(session.sql, coins);
  const about = { names, range, now, interval, isOverwriting, asked, lookUp };
  const request: FilesRequest = { path: files, ...about };
  const plan = await planFiles(session, request);
  return {
    assets: [],
    files: {
      unread: plan.files.map(({ file }) => file.name),
      finished: plan.finished,
      inOtherCurrency: plan.inOtherCurrency,
    },
    leftOut: [],
    unknownToSource: [],
    requests: 0,
    estimatedMs: 0,
    write: async (sink) => {
      const read = await importFiles(session, { plan, request, sink, onProgress });
      const { leftOut, withoutPrices } = read;
      // What was not asked for is not missed.
      const leftOutPrices = isOpen ? leftOut : { ...leftOut, tooOld: 0 };
      return { leftOutPrices, filesWithoutPrices: withoutPrices };
    },
  };
}
