import { withMigrationLock } from '../database/lock.ts';
import { describeTarget } from '../database/target.ts';
import { readLedger } from '../ledger/ledger.ts';
import { ensureLedger, type Run, withRun } from '../ledger/run.ts';
import type { Interval, TimeRange } from '../market/prices.ts';
import type { LeftOutPrices } from './files.ts';
import type { Misfit } from './fit.ts';
import {
  type ImportPlan,
  nothingLeftOut,
  type PlannedImport,
  planFileImport,
  planSeriesImport,
} from './planned-import.ts';
import {
  type ImportOptions,
  type PriceSourceName,
  readScope,
  requireSound,
  type Scope,
} from './request.ts';
import { prepareForPrices, requirePriceTables } from './session.ts';
import { type Sunk, withPriceSink } from './sink.ts';

export interface ImportResult extends ImportPlan {
  /** `host:port/database` or `embedded:FOLDER`. */
  readonly target: string;
  readonly source: PriceSourceName;
  readonly interval: Interval | undefined;
  readonly isDryRun: boolean;
  /** For files without `days` and `from`: undefined. */
  readonly range: { readonly from: Date; readonly to: Date } | undefined;
  /** New rows. */
  readonly rows: number;
  /** Prices that the columns cannot hold as they are. */
  readonly misfits: readonly Misfit[];
  /** Prices of files, without those that `days`, `from`, `to` and `coins` leave out. */
  readonly leftOutPrices: LeftOutPrices;
  /** The names of files that were read and have no price. */
  readonly filesWithoutPrices: readonly string[];
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
 * `faulty-answer`, `file-problem`, `lock-timeout` and `interrupted`. Pieces that were written before the error stay, and
 * their candles are owed.
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

async function importWith(run: Run, options: ImportOptions): Promise<ImportResult> {
  const { session } = run;
  const { source = 'coingecko', dryRun: isDryRun = false } = options;
  const startedAt = performance.now();
  const { plan, scope, ...written } = isDryRun
    ? { ...(await planImport(run, options)), ...nothingWritten }
    : await writeImport(run, options);
  const { write: _, ...shown } = plan;
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

interface ScopedPlan {
  readonly plan: PlannedImport;
  readonly scope: Scope;
}

async function planImport(run: Run, options: ImportOptions): Promise<ScopedPlan> {
  const { source = 'coingecko' } = options;
  const scope = await readScope(run.session.sql, options);
  const plan =
    source === 'files'
      ? await planFileImport(run, options, scope)
      : await planSeriesImport(run, { ...options, source }, scope);
  return { plan, scope };
}

type Written = Omit<Sunk<unknown>, 'result'> &
  Pick<ImportResult, 'leftOutPrices' | 'filesWithoutPrices'>;

const nothingWritten: Written = {
  rows: 0,
  misfits: [],
  candles: undefined,
  compressedChunks: 0,
  leftOutPrices: nothingLeftOut,
  filesWithoutPrices: [],
};

/** Plans with the lock of imports held, so that two imports at once do not request the same. */
async function writeImport(run: Run, options: ImportOptions): Promise<ScopedPlan & Written> {
  const { session, onProgress } = run;
  const { lockTimeoutMs, overwrite: isOverwriting = false } = options;
  const onCandles = () => onProgress?.({ kind: 'candles-started' });
  const sinkOptions = { lockTimeoutMs, onProgress, isOverwriting, onCandles };
  const { result, ...sunk } = await withPriceSink(session, sinkOptions, async (sink) => {
    const scoped = await planImport(run, options);
    const { assets, files, requests, estimatedMs } = scoped.plan;
    const missing = assets.reduce((sum, asset) => sum + asset.missing, 0);
    onProgress?.({
      kind: 'import-planned',
      assets: assets.length,
      missing,
      files: files.unread.length,
      requests,
      estimatedMs,
    });
    return { ...scoped, ...(await scoped.plan.write(sink)) };
  });
  const { failure, ...planned } = result;
  if (failure) throw failure;
  return { ...planned, ...sunk };
}

function datesOf({ from, to }: TimeRange): { readonly from: Date; readonly to: Date } {
  return { from: new Date(from), to: new Date(to) };
}
