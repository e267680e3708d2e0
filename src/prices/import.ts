import { withMigrationLock } from '../database/lock.ts';
import { describeTarget } from '../database/target.ts';
import { readLedger } from '../ledger/ledger.ts';
import { ensureLedger, type Run, type RunOptions, withRun } from '../ledger/run.ts';
import { requireAccess } from '../market/access.ts';
import {
  dollars,
  type Interval,
  type PricedAsset,
  seriesSources,
  startOf,
  type TimeRange,
} from '../market/prices.ts';
import type { Plan } from '../market/sources.ts';
import { dayMs, isoDay } from '../runtime/days.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import { compareText } from '../runtime/order.ts';
import { requireWhole } from '../runtime/whole-numbers.ts';
import { assetsBySymbol, chooseAssets } from './assets.ts';
import type { FilesRequest, LeftOutPrices } from './files.ts';
import { readRetention } from './presence.ts';
import { importSeries, planSeries } from './series.ts';
import { prepareForPrices, requirePriceTables } from './session.ts';
import { type PriceSink, type Sunk, withPriceSink } from './sink.ts';
import type { Misfit } from './writer.ts';

export const priceSources = [...seriesSources, 'files'] as const;
export type PriceSourceName = (typeof priceSources)[number];

export interface ImportOptions extends RunOptions {
  /** Symbols, or ids of CoinGecko. Default: the `top` largest of `assets`; for files, every asset in them. */
  readonly coins?: readonly string[] | undefined;
  /** Default 50. */
  readonly top?: number | undefined;
  /** How many days back from today. Default 1,825. */
  readonly days?: number | undefined;
  /** The first moment, instead of `days`. */
  readonly from?: Date | undefined;
  /** The moment after the last one. Default: now. */
  readonly to?: Date | undefined;
  /** Default `daily`; for files, every price keeps its own time. */
  readonly interval?: Interval | undefined;
  /** Default `coingecko`. */
  readonly source?: PriceSourceName | undefined;
  /** With source `files`: a folder, or a file. */
  readonly files?: string | undefined;
  /** The currency of Binance's pairs. Default `USDT`. */
  readonly quote?: string | undefined;
  /** Pairs on Binance by symbol, besides those that this package knows: `{ BTC: 'BTCUSDT' }`. */
  readonly pairs?: Readonly<Record<string, string>> | undefined;
  /** Replace rows of the same source. Rows of other sources stay. */
  readonly overwrite?: boolean | undefined;
  /** Return the plan, and request and write nothing. */
  readonly dryRun?: boolean | undefined;
  /** A mirror of the source. */
  readonly baseUrl?: string | undefined;
  /** CoinGecko's key. */
  readonly apiKey?: string | undefined;
  readonly plan?: Plan | undefined;
  /** The first wait before a request is tried again. Default 1,000. */
  readonly retryDelayMs?: number | undefined;
}

/** What is to be read of one asset, or how many rows a file has given. */
export interface ImportedAsset {
  readonly symbol: string;
  readonly id: string;
  /** Months in which prices are missing, as `2024-01`. */
  readonly months: readonly string[];
  /** How many prices are missing at most. */
  readonly missing: number;
  readonly requests: number;
}

export interface ImportResult {
  /** `host:port/database` or `embedded:FOLDER`. */
  readonly target: string;
  readonly source: PriceSourceName;
  readonly interval: Interval | undefined;
  readonly isDryRun: boolean;
  /** For files without `days` and `from`: undefined. */
  readonly range: { readonly from: Date; readonly to: Date } | undefined;
  /** The plan: the assets with missing prices. Empty for files. */
  readonly assets: readonly ImportedAsset[];
  /** The files to read, and those that are imported already. Empty for other sources. */
  readonly files: { readonly unread: readonly string[]; readonly finished: readonly string[] };
  readonly requests: number;
  /** By the source's rate limit. */
  readonly estimatedMs: number;
  /** New rows. */
  readonly rows: number;
  /** Prices that the columns cannot hold as they are. */
  readonly misfits: readonly Misfit[];
  /** Assets among the largest whose symbol a larger one has, or that is too long. */
  readonly leftOut: readonly PricedAsset[];
  /** Assets among the largest that the source does not have. Assets that are named are refused instead. */
  readonly unknownToSource: readonly PricedAsset[];
  /** Prices of files, without those that `days`, `from`, `to` and `coins` leave out. */
  readonly leftOutPrices: LeftOutPrices;
  /** What the retention policy would drop, and was not asked for. */
  readonly beyondRetention: { readonly from: Date; readonly to: Date } | undefined;
  readonly candles: { readonly from: Date; readonly to: Date } | undefined;
  /** Chunks that were compressed again. */
  readonly compressedChunks: number;
  readonly durationMs: number;
}

/**
 * Imports price history: reads what is missing, writes it piece by piece, and refreshes the daily candles. An import
 * that stops goes on where it was when it is run again. Rows that are there stay.
 * Throws `bad-configuration`, `no-price-tables`, `no-prices`, `unknown-asset`, `coingecko-failed`, `source-failed`,
 * `faulty-answer`, `file-problem`, `lock-timeout` and `interrupted`. Pieces that were written before the error stay, and their candles are owed.
 */
export async function importPrices(options: ImportOptions): Promise<ImportResult> {
  requireSound(options);
  const { dryRun = false } = options;
  const access = dryRun ? 'read' : 'write-unlocked';
  return withRun(options, { access, use: 'prices' }, async (run) => {
    await requirePriceTables(run.session);
    if (!dryRun) await ensurePriceLedger(run, options);
    await prepareForPrices(run.session);
    return importWith(run, options);
  });
}

/**
 * Before the lock of imports is taken: a seeding run takes the two locks in this order. Reads the ledger again, because
 * another run may have changed its format since.
 */
async function ensurePriceLedger(run: Run, { lockTimeoutMs }: ImportOptions): Promise<void> {
  const { session, onProgress } = run;
  await withMigrationLock(session, { lockTimeoutMs, onProgress }, async () => {
    const ledger = await readLedger(session, 'prices');
    await ensureLedger({ ...run, ledger }, 'prices');
  });
}

function requireSound(options: ImportOptions): void {
  const {
    top,
    days,
    from,
    to,
    source = 'coingecko',
    files,
    coins,
    quote = 'USDT',
    pairs,
  } = options;
  const refuse = (message: string, hint?: string) => {
    throw new CryptosenseDbError('bad-configuration', { message, ...(hint && { hint }) });
  };
  requireWhole(
    { ...(top !== undefined && { top }), ...(days !== undefined && { days }) },
    { from: 1, to: 50_000 },
  );
  if (source === 'files' && files === undefined) {
    refuse('no file of prices is named', 'name a folder or a file with --from');
  }
  if (source !== 'files' && files !== undefined) {
    refuse(`a file of prices is named, and ${source} is not asked for files`, 'add --source files');
  }
  if (days !== undefined && from !== undefined)
    refuse('days and a first date are both named; name one of them');
  if (coins !== undefined && top !== undefined)
    refuse('coins and top are both named; name one of them');
  if (coins?.length === 0) refuse('no coin is named');
  if (from !== undefined && to !== undefined && from >= to)
    refuse('the first date is not before the last one');
  // A key is CoinGecko's alone.
  requireAccess(source === 'coingecko' ? options : { baseUrl: options.baseUrl });
  const aDollar = `use ${dollars.join(', ')}`;
  if (!dollars.some((dollar) => quote === dollar)) refuse(`${quote} is not a dollar`, aDollar);
  for (const [symbol, pair] of Object.entries(pairs ?? {})) {
    if (!/^[A-Z0-9]+$/.test(symbol) || !/^[A-Z0-9]+$/.test(pair)) {
      refuse(`${symbol}=${pair} is not a pair`, 'write it as BTC=BTCUSDT');
    }
    if (!dollars.some((dollar) => pair.endsWith(dollar)))
      refuse(`${pair} is not a pair in dollars`, aDollar);
  }
}

type Outcome = Pick<
  ImportResult,
  | 'assets'
  | 'files'
  | 'leftOut'
  | 'unknownToSource'
  | 'requests'
  | 'estimatedMs'
  | 'rows'
  | 'misfits'
>;

/** An import that is to be written into a sink, and what is said about it before. */
interface Planned extends Omit<Outcome, 'rows' | 'misfits'> {
  readonly write: (sink: PriceSink) => Promise<WrittenPlan>;
}

interface WrittenPlan {
  readonly leftOutPrices: LeftOutPrices;
  /** Thrown once the candles of the rest are refreshed. */
  readonly failure?: CryptosenseDbError | undefined;
}

async function importWith(run: Run, options: ImportOptions): Promise<ImportResult> {
  const { session } = run;
  const { source = 'coingecko', dryRun: isDryRun = false } = options;
  const startedAt = performance.now();
  const scope = await readScope(run, options);
  const plan = () =>
    source === 'files'
      ? planFileImport(run, options, scope)
      : planSeriesImport(run, { ...options, source }, scope);
  const { planned, written } = isDryRun
    ? { planned: await plan(), written: nothingWritten }
    : await writePlan(run, options, plan);
  const { write: _, ...shown } = planned;
  const { range, interval, beyondRetention } = scope;
  return {
    target: describeTarget(session.target),
    source,
    interval,
    isDryRun,
    range: Number.isFinite(range.from) ? datesOf(range) : undefined,
    ...shown,
    ...written,
    candles: written.candles && datesOf(written.candles),
    beyondRetention: beyondRetention && datesOf(beyondRetention),
    durationMs: Math.round(performance.now() - startedAt),
  };
}

type Written = Sunk & Pick<ImportResult, 'leftOutPrices'>;

const nothingLeftOut: LeftOutPrices = { tooOld: 0, inFuture: 0 };
const nothingWritten: Written = {
  rows: 0,
  misfits: [],
  candles: undefined,
  compressedChunks: 0,
  leftOutPrices: nothingLeftOut,
};

/** Plans with the lock of imports held, so that two imports at once do not request the same. */
async function writePlan(
  { session, onProgress }: Run,
  { lockTimeoutMs, overwrite: isOverwriting = false }: ImportOptions,
  plan: () => Promise<Planned>,
): Promise<{ readonly planned: Planned; readonly written: Written }> {
  let planned: Planned | undefined;
  let outcome: WrittenPlan = { leftOutPrices: nothingLeftOut };
  const onCandles = () => onProgress?.({ kind: 'candles-started' });
  const options = { lockTimeoutMs, onProgress, isOverwriting, onCandles };
  const written = await withPriceSink(session, options, async (sink) => {
    planned = await plan();
    const { assets, files, requests, estimatedMs } = planned;
    const missing = assets.reduce((sum, asset) => sum + asset.missing, 0);
    onProgress?.({
      kind: 'import-planned',
      assets: assets.length,
      missing,
      files: files.unread.length,
      requests,
      estimatedMs,
    });
    outcome = await planned.write(sink);
  });
  if (outcome.failure) throw outcome.failure;
  if (!planned) throw new Error('the sink did not call back');
  return { planned, written: { ...written, leftOutPrices: outcome.leftOutPrices } };
}

function datesOf({ from, to }: TimeRange): { readonly from: Date; readonly to: Date } {
  return { from: new Date(from), to: new Date(to) };
}

interface Scope {
  readonly now: number;
  readonly range: TimeRange;
  readonly interval: Interval | undefined;
  /** Files without a first moment: the range begins where the retention policy lets it. */
  readonly isOpen: boolean;
  readonly beyondRetention: TimeRange | undefined;
}

/** The range that is asked for, without what the retention policy would drop. */
async function readScope({ session: { sql } }: Run, options: ImportOptions): Promise<Scope> {
  const { source, days, from, to, interval = source === 'files' ? undefined : 'daily' } = options;
  const [{ now: clock }] = await sql<[{ now: Date }]>`select now() as now`;
  const now = clock.getTime();
  const end = Math.min(to?.getTime() ?? now, now);
  const isOpen = source === 'files' && days === undefined && from === undefined;
  const wanted = isOpen
    ? Number.NEGATIVE_INFINITY
    : (from?.getTime() ?? startOf(now, 'daily') - (days ?? 1_825) * dayMs);
  if (wanted >= end) {
    throw new CryptosenseDbError('bad-configuration', {
      message: `the first moment, ${new Date(wanted).toISOString()}, is not before the last one, ${new Date(end).toISOString()}`,
      hint: 'name the first day with --from; --days counts back from today',
    });
  }
  const kept = await readRetention(sql);
  const oldest = kept === undefined ? Number.NEGATIVE_INFINITY : startOf(kept, 'daily') + dayMs;
  const range = { from: Math.max(wanted, oldest), to: end };
  const beyondRetention =
    Number.isFinite(wanted) && wanted < oldest
      ? { from: wanted, to: Math.min(oldest, end) }
      : undefined;
  return { now, range, interval, isOpen, beyondRetention };
}

async function planSeriesImport(
  { session, onProgress }: Run,
  options: ImportOptions & { readonly source: 'coingecko' | 'binance' },
  { now, range, interval = 'daily' }: Scope,
): Promise<Planned> {
  // Not before it is needed: it brings CoinGecko's client.
  const { createSource } = await import('../market/sources.ts');
  const { coins, top = 50, overwrite: isOverwriting = false } = options;
  const source = createSource(options.source, { ...options, onProgress }, { now });
  const { assets: chosen, leftOut } = await chooseAssets(session.sql, { coins, top });
  const unknownToSource =
    coins === undefined ? source.findUnknown(chosen).map(({ asset }) => asset) : [];
  const assets = chosen.filter((asset) => !unknownToSource.includes(asset));
  const plan = await planSeries(session, source, { assets, range, interval, isOverwriting });
  return {
    assets: plan.assets.map(({ asset: { id, symbol }, missing, queries }) => ({
      id,
      symbol,
      months: missing.map(({ month }) => new Date(month).toISOString().slice(0, 7)),
      missing: missing.reduce((sum, { expected, present }) => sum + expected - present, 0),
      requests: queries.reduce((sum, query) => sum + source.cost(query).requests, 0),
    })),
    files: { unread: [], finished: [] },
    leftOut,
    unknownToSource,
    requests: plan.requests,
    estimatedMs: plan.estimatedMs,
    write: async (sink) => ({
      leftOutPrices: nothingLeftOut,
      failure: await importSeries(session, { source, plan, sink, onProgress }),
    }),
  };
}

async function planFileImport(
  { session, onProgress }: Run,
  options: ImportOptions,
  { range, interval, isOpen }: Scope,
): Promise<Planned> {
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
  ].join(' ');
  const request: FilesRequest = { path: files, names, range, interval, isOverwriting, asked };
  const plan = await planFiles(session, request);
  const assetOf = await assetsBySymbol(session.sql, options.coins);
  return {
    assets: [],
    files: { unread: plan.files.map(({ file }) => file.name), finished: plan.finished },
    leftOut: [],
    unknownToSource: [],
    requests: 0,
    estimatedMs: 0,
    write: async (sink) => {
      const leftOut = await importFiles(session, { plan, request, sink, assetOf, onProgress });
      // What was not asked for is not missed.
      return { leftOutPrices: isOpen ? leftOut : { ...leftOut, tooOld: 0 } };
    },
  };
}
