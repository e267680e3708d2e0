import type { Sql } from '../database/connection.ts';
import type { RunOptions } from '../ledger/run.ts';
import { requireAccess } from '../market/access.ts';
import {
  dollars,
  type Interval,
  intervals,
  seriesSources,
  startOf,
  type TimeRange,
} from '../market/prices.ts';
import type { Plan } from '../market/sources.ts';
import { dayMs } from '../runtime/days.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import { requireWhole } from '../runtime/whole-numbers.ts';
import { readCandlesOnly } from './candles.ts';
import { readRetention } from './presence.ts';

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

/** Throws `bad-configuration` for options that contradict each other, or that no source can serve. */
export function requireSound(options: ImportOptions): void {
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
  const { interval } = options;
  if (!priceSources.includes(source))
    refuse(`${source} is not a source of prices`, `use ${priceSources.join(', ')}`);
  if (interval !== undefined && !intervals.includes(interval))
    refuse(`${interval} is not an interval`, `use ${intervals.join(', ')}`);
  for (const date of [from, to]) {
    if (date !== undefined && Number.isNaN(date.getTime())) refuse('from or to is not a date');
  }
  if (
    source === 'coingecko' &&
    (options.quote !== undefined || Object.keys(pairs ?? {}).length > 0)
  ) {
    refuse(
      'a pair or its currency is named, and coingecko has no pairs',
      'leave --pair and --quote out, or add --source binance',
    );
  }
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
  if (source === 'files' && top !== undefined)
    refuse('the largest assets are named, and files have their own', 'name assets with --coins');
  if (source === 'files' && options.baseUrl !== undefined)
    refuse('a mirror is named, and files are read from the disk', 'leave --base-url out');
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

/** The moments that an import is for. */
export interface Scope {
  readonly now: number;
  readonly range: TimeRange;
  readonly interval: Interval | undefined;
  /** Files without a first moment: the range begins where the retention policy lets it. */
  readonly isOpen: boolean;
  /** What the retention policy would drop, and days whose prices were dropped and whose candles are kept. */
  readonly beyondRetention: TimeRange | undefined;
}

/** The range that is asked for, without the days of which no prices are kept. */
export async function readScope(sql: Sql, options: ImportOptions): Promise<Scope> {
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
  const oldest = Math.max(
    kept === undefined ? Number.NEGATIVE_INFINITY : startOf(kept, 'daily') + dayMs,
    (await readCandlesOnly(sql)) ?? Number.NEGATIVE_INFINITY,
  );
  const range = { from: Math.max(wanted, oldest), to: end };
  const beyondRetention =
    Number.isFinite(wanted) && wanted < oldest
      ? { from: wanted, to: Math.min(oldest, end) }
      : undefined;
  return { now, range, interval, isOpen, beyondRetention };
}
