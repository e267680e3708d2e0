import { type CacheFiller, type FilledCache, openFiller } from '../cache/fill.ts';
import { ensureLedger, withRun } from '../ledger/run.ts';
import {
  readLastRun,
  readOutcome,
  type SeedEnvironment,
  seedEnvironments,
} from '../ledger/seed-runs.ts';
import type { Market } from '../market/market.ts';
import type { MarketOptions } from '../market/obtain.ts';
import type { MigrateOptions } from '../migrations/migrate.ts';
import { readMigrations, resolveFolders } from '../migrations/source.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import { requireWhole } from '../runtime/whole-numbers.ts';
import { type Candle, readCandles } from './candles.ts';
import { historyStart, writeHistory } from './history.ts';
import { requireFit, runAll, type SeedPlan, type SeedResult } from './run.ts';
import { chooseSeeders, readSeeders } from './source.ts';
import { createWriter } from './writer.ts';

export type { FilledCache, FilledSession } from '../cache/fill.ts';
export type { SeedEnvironment } from '../ledger/seed-runs.ts';
export type { Market, MarketAsset } from '../market/market.ts';
export type { MarketOptions } from '../market/obtain.ts';
export type { Candle } from './candles.ts';
export type { SeederResult, SeedResult, TableRows } from './run.ts';
export type * from './seeder.ts';

/** The options of both environments. */
export interface SeedOptions extends MigrateOptions {
  /** Folder with `dev/` and `production/`. Default: the packaged seeders. */
  readonly seeds?: string | undefined;
  /** Names of seeders, with or without their number. Default: all seeders. */
  readonly only?: readonly string[] | undefined;
  /** Run all seeders in one transaction and roll it back. */
  readonly dryRun?: boolean | undefined;
  /** How long to wait for another run to end, in milliseconds. Default 60,000. */
  readonly lockTimeoutMs?: number | undefined;
}

export interface DevOptions extends SeedOptions {
  /** The same number gives the same data. Default 1. */
  readonly seed?: number | undefined;
  /** The moment at which the data ends. Default: now. */
  readonly now?: Date | undefined;
  /** How many times the three users of the specification. Default 1. */
  readonly scale?: number | undefined;
  /**
   * How many days of hourly prices to write before the seeder's own, for each asset of the development data; without
   * those that the retention policy would drop. Default: none.
   */
  readonly historyDays?: number | undefined;
  /**
   * The URL of Redis: also store the latest prices in it, and a session for each user in place of the user's others. A
   * dry run stores nothing.
   */
  readonly cache?: string | undefined;
}

export interface ProductionOptions extends SeedOptions, MarketOptions {}

export interface DevResult extends SeedResult {
  readonly seed: number;
  readonly scale: number;
  /** Bitcoin's day before `now` and day of `now` from price_history_daily; empty without that view. */
  readonly candles: readonly Candle[];
  /** Absent without a cache. */
  readonly cache?: FilledCache;
}

export interface ProductionResult extends SeedResult {
  readonly market: Omit<Market, 'assets'> & { readonly assets: number };
}

export interface SavedMarket {
  readonly file: string;
  readonly assets: number;
  readonly takenAt: Date;
}

export interface ListedSeeder {
  readonly environment: SeedEnvironment;
  readonly name: string;
  readonly description: string;
}

/** The seeders of one environment, or of both, in the order in which they run. Needs no database. */
export async function list(
  options: {
    readonly environment?: SeedEnvironment | undefined;
    readonly seeds?: string | undefined;
    readonly only?: readonly string[] | undefined;
  } = {},
): Promise<readonly ListedSeeder[]> {
  const { environment: chosen, seeds, only = [] } = options;
  const listed = await Promise.all(
    (chosen ? [chosen] : seedEnvironments).map(async (environment) =>
      (await readSeeders(environment, seeds)).map(({ name, description }) => ({
        environment,
        name,
        description,
      })),
    ),
  );
  return chooseSeeders(listed.flat(), only);
}

/**
 * Seeds development data: the users of section 9.1 of the specification, and the rows that an
 * application needs to show. A second run gives the same rows. With `only`, `seed`, `scale` and `now`
 * default to those of the last run, so that the parts fit together. Each seeder runs in its own
 * transaction: a failure names the seeder and rolls back its rows only. Marks a database without a mark
 * as dev.
 *
 * Throws `environment-refused` for a production database, `pending-migrations` and `seed-failed`; `cache-unavailable`
 * before it seeds, or after it when the cache is lost meanwhile.
 *
 * @example
 * await dev({ target: 'postgresql://localhost/app', scale: 10 });
 */
export async function dev(options: DevOptions): Promise<DevResult> {
  const { seed: givenSeed = 1, now: givenNow = new Date(), scale: givenScale = 1 } = options;
  const { historyDays } = options;
  requireWhole({ seed: givenSeed }, { from: 0, to: Number.MAX_SAFE_INTEGER });
  requireWhole({ scale: givenScale }, { from: 1, to: mostScale });
  requireMoment(givenNow);
  if (historyDays !== undefined) requireWhole({ historyDays }, { from: 1, to: 50_000 });
  const plan = await prepare(options, 'dev');
  if (historyDays !== undefined) requireHistoryWriter(plan);
  if (options.cache === undefined || plan.isDryRun) return seedDev(options, { plan });
  const filler = await openFiller(options.cache);
  try {
    return await seedDev(options, { plan, filler });
  } finally {
    await filler.close();
  }
}

async function seedDev(
  options: DevOptions,
  { plan, filler }: { readonly plan: SeedPlan<'dev'>; readonly filler?: CacheFiller },
): Promise<DevResult> {
  const { seed: givenSeed = 1, now: givenNow = new Date(), scale: givenScale = 1 } = options;
  const { historyDays, lockTimeoutMs } = options;
  const isPart = (options.only ?? []).length > 0;
  return withRun(options, { access: 'write', use: 'seeds' }, async (run) => {
    const last = isPart ? await readLastRun(run.session) : undefined;
    const {
      seed = last?.seed ?? givenSeed,
      scale = last?.scale ?? givenScale,
      now = last?.asOf ?? givenNow,
    } = options;
    if (historyDays !== undefined) await ensureLedger(run, 'prices');
    const historyFrom =
      historyDays === undefined ? undefined : await historyStart(run.session, { historyDays, now });
    const result = await runAll(run, plan, {
      now,
      seed,
      scale,
      contextOf: ({ session, shared, onRows }) => ({
        ...shared,
        ...createWriter(session, { ...shared, onRows }),
        seed,
        scale,
        historyFrom,
        importPrices: async (source, { rows, total }) => {
          const startedAt = performance.now();
          const onPiece = (done: number) =>
            onRows('price_history', done, total, performance.now() - startedAt);
          const added = await writeHistory(session, rows, { source, lockTimeoutMs, onPiece });
          shared.wrote('price_history', added);
          return added;
        },
      }),
    });
    const candles = await readCandles(run.session, now);
    const cache = await filler?.fill(run.session);
    return { ...result, seed, scale, candles, ...(cache && { cache }) };
  });
}

/** Throws `bad-configuration` when no seeder of the run would write the history. */
function requireHistoryWriter({ seeders, isDryRun }: SeedPlan<'dev'>): void {
  if (!isDryRun && seeders.some(({ afterwards }) => afterwards !== undefined)) return;
  throw new CryptosenseDbError('bad-configuration', {
    message: isDryRun
      ? '--history cannot be used with --dry-run: the history is written after the commit of the seeders'
      : '--history is used by the seeder "prices", which is not among those that are chosen',
    hint: 'leave --history out',
  });
}

/**
 * Seeds reference data: the largest assets by market capitalization, with one price each, from
 * CoinGecko, a saved answer or the package's snapshot. Checks the database before it asks CoinGecko, and
 * the whole answer before it writes. Marks a database without a mark as production.
 *
 * Throws `environment-refused` for a database with another mark, `pending-migrations`,
 * `coingecko-failed`, `faulty-answer` and `seed-failed`.
 */
export async function production(options: ProductionOptions): Promise<ProductionResult> {
  const { obtainMarket, requireSound } = await import('../market/obtain.ts');
  requireSound(options);
  const plan = await prepare(options, 'production');
  await withRun(options, { access: 'read', use: 'seeds' }, (run) => requireFit(run, plan));
  const market = await obtainMarket(options);
  const result = await withRun(options, { access: 'write', use: 'seeds' }, (run) =>
    runAll(run, plan, {
      now: new Date(),
      seed: null,
      scale: null,
      contextOf: async ({ session, name, shared }) => ({
        ...shared,
        market,
        previous: await readOutcome(session, { environment: 'production', seeder: name }),
      }),
    }),
  );
  const { source, takenAt, assets } = market;
  return { ...result, market: { source, takenAt, assets: assets.length } };
}

/**
 * Saves CoinGecko's answer to a file, for `production` with `from` on a machine without internet
 * access. Needs no database. Throws `coingecko-failed`, `faulty-answer` and `file-problem`.
 */
export async function saveMarket(
  file: string,
  options: Omit<MarketOptions, 'save' | 'from' | 'offline'>,
): Promise<SavedMarket> {
  const { obtainMarket } = await import('../market/obtain.ts');
  const { assets, takenAt } = await obtainMarket({ ...options, save: file });
  return { file, assets: assets.length, takenAt };
}

async function prepare<E extends SeedEnvironment>(
  options: SeedOptions,
  environment: E,
): Promise<SeedPlan<E>> {
  const { seeds, only = [], dryRun: isDryRun = false } = options;
  const seeders = chooseSeeders(await readSeeders(environment, seeds), only);
  return { environment, seeders, pairs: readMigrations(resolveFolders(options)), isDryRun };
}

/** Fifteen million users, three billion rows. */
const mostScale = 5_000_000;

/** From Bitcoin's first block. */
const [earliest, latest] = ['2009-01-03T00:00:00Z', '2100-01-01T00:00:00Z'];

function requireMoment(now: Date): void {
  if (now >= new Date(earliest) && now <= new Date(latest)) return;
  throw new CryptosenseDbError('bad-configuration', {
    message: `now is ${String(now)}; it has to be from ${earliest} to ${latest}`,
  });
}
