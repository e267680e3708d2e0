import type { Session, Sql } from '../database/connection.ts';
import { describeTarget } from '../database/target.ts';
import { readPriceImports } from '../ledger/price-imports.ts';
import { readUpkeep } from '../ledger/price-upkeep.ts';
import { type RunOptions, withRun } from '../ledger/run.ts';
import {
  byMonth,
  type Interval,
  intervalMs,
  intervals,
  seriesSources,
  startOf,
  type TimeRange,
} from '../market/prices.ts';
import { symbolsOf } from './assets.ts';
import { startOfMonth, subtract } from './plan.ts';
import { prepareForPrices, requirePriceTables } from './session.ts';

export interface StatusOptions extends RunOptions {
  /** Symbols, or ids of CoinGecko. Default: every asset that has a price. */
  readonly coins?: readonly string[] | undefined;
}

/** How many of a month's hours or days have a price. */
export interface MonthStatus {
  /** `2024-01`, in UTC. */
  readonly month: string;
  readonly present: number;
  /** From the first price of the interval to its last one. */
  readonly expected: number;
  /** An import has read this month, and its source has no more of it. */
  readonly isRead: boolean;
}

/** The prices of an asset in the months that have one a day, or in those that have one an hour. */
export interface AssetStatus {
  readonly symbol: string;
  /** A month is `hourly` when a day of it has prices in more than two hours. */
  readonly interval: Interval;
  readonly first: Date;
  readonly last: Date;
  readonly rows: number;
  /** Hours or days without a price, between the first and the last one. */
  readonly gaps: number;
  readonly months: readonly MonthStatus[];
  /** Complete days with prices and without a candle in `price_history_daily`. */
  readonly candlesMissing: number;
}

export interface PriceStatus {
  readonly target: string;
  /** By symbol. */
  readonly assets: readonly AssetStatus[];
  /** Symbols of the coins that were asked for and have no price. */
  readonly withoutPrices: readonly string[];
  /** Candles that an import has not refreshed yet. */
  readonly owed: { readonly from: Date; readonly to: Date } | undefined;
  /** An import that was interrupted or killed has paused the policies that refresh candles. The next import resumes them. */
  readonly arePoliciesPaused: boolean;
  /**
   * There are prices, and some of each coin that was asked for; no candle is missing or owed, no policy is paused, and
   * an import has read every month with a gap.
   */
  readonly isComplete: boolean;
}

/** What the database has of price history. Changes nothing, and runs on a standby. */
export async function status(options: StatusOptions): Promise<PriceStatus> {
  return withRun(options, { access: 'read' }, ({ session }) =>
    readPriceStatus(session, options.coins),
  );
}

/**
 * The same within a session, whose settings it changes as `prepareForPrices` does. Throws `no-price-tables`,
 * `schema-untrusted` and `not-permitted`.
 */
export async function readPriceStatus(
  session: Session,
  coins?: StatusOptions['coins'],
): Promise<PriceStatus> {
  const { sql } = session;
  await requirePriceTables(session);
  await prepareForPrices(session);
  const symbols = coins && (await symbolsOf(sql, coins));
  const assets = await readAssets(sql, symbols);
  const withoutPrices =
    symbols?.filter((each) => !assets.some(({ symbol }) => symbol === each)) ?? [];
  const upkeep = await readUpkeep(sql);
  const owed = upkeep?.candles;
  const arePoliciesPaused = await isAnyPaused(sql, upkeep?.pausedJobs ?? []);
  return {
    target: describeTarget(session.target),
    assets,
    withoutPrices,
    owed: owed && { from: new Date(owed.from), to: new Date(owed.to) },
    arePoliciesPaused,
    isComplete:
      assets.length > 0 &&
      withoutPrices.length === 0 &&
      owed === undefined &&
      !arePoliciesPaused &&
      assets.every(
        ({ candlesMissing, months }) =>
          candlesMissing === 0 &&
          months.every(({ present, expected, isRead }) => present >= expected || isRead),
      ),
  };
}

/** A person may have resumed or removed a job since. */
async function isAnyPaused(sql: Sql, jobs: readonly number[]): Promise<boolean> {
  if (jobs.length === 0) return false;
  const paused = await sql`
    select from timescaledb_information.jobs where not scheduled and job_id in ${sql(jobs)}`;
  return paused.length > 0;
}

interface MonthRow {
  readonly symbol: string;
  readonly month: Date;
  readonly first: Date;
  readonly last: Date;
  readonly rows: number;
  /** With a price, since the first hourly day. */
  readonly hours: number;
  readonly days: number;
  /** The first price of the first day with prices in more than two hours; null without such a day. */
  readonly firstHourly: Date | null;
  readonly candlesMissing: number;
}

/** One scan of the prices, grouped by hour, day and month. */
function readMonths(sql: Sql, wanted: readonly string[] | undefined): Promise<readonly MonthRow[]> {
  const symbols = wanted === undefined ? null : JSON.stringify(wanted);
  return sql<MonthRow[]>`
    with hours as (
      select asset_symbol, time_bucket('1 hour', "time") as hour,
        min("time") as first, max("time") as last, count(*) as rows
      from price_history
      where ${symbols}::text is null
        or asset_symbol in (select json_array_elements_text(${symbols}::text::json))
      group by 1, 2
    ), days as (
      select asset_symbol, time_bucket('1 day', hour) as day,
        min(first) as first, max(last) as last, sum(rows) as rows, count(*) as hours
      from hours group by 1, 2
    ), marked as (
      -- From the first such day of a month on, hours are counted.
      select *, date_trunc('month', day, 'UTC') as month,
        max(hours) over (
          partition by asset_symbol, date_trunc('month', day, 'UTC') order by day
        ) > 2 as is_hourly
      from days
    )
    select
      marked.asset_symbol as symbol, month,
      min(first) as first, max(last) as last, sum(rows)::float8 as rows,
      coalesce(sum(hours) filter (where is_hourly), 0)::int as hours, count(*)::int as days,
      min(first) filter (where is_hourly) as "firstHourly",
      count(*) filter (
        where candle.day is null and marked.day < date_trunc('day', now(), 'UTC')
      )::int as "candlesMissing"
    from marked
    left join price_history_daily candle
      on candle.asset_symbol = marked.asset_symbol and candle.day = marked.day
    group by 1, 2 order by 1, 2`;
}

async function readAssets(
  sql: Sql,
  wanted: readonly string[] | undefined,
): Promise<readonly AssetStatus[]> {
  const rows = await readMonths(sql, wanted);
  const read = await readRanges(sql);
  const symbols = [...new Set(rows.map(({ symbol }) => symbol))];
  return symbols.flatMap((symbol) =>
    intervals.flatMap((interval) => {
      const all = rows.filter((row) => row.symbol === symbol);
      const own = all.filter((row) => intervalOf(row) === interval);
      const others = new Set(all.filter((row) => !own.includes(row)).map(monthOf));
      const ranges = read.get(`${interval} ${symbol}`) ?? [];
      return own.length === 0 ? [] : statusOf(own, { symbol, interval, others, ranges });
    }),
  );
}

function intervalOf({ firstHourly }: MonthRow): Interval {
  return firstHourly === null ? 'daily' : 'hourly';
}

function monthOf({ month }: MonthRow): number {
  return month.getTime();
}

function statusOf(
  rows: readonly MonthRow[],
  {
    symbol,
    interval,
    others,
    ranges,
  }: {
    readonly symbol: string;
    readonly interval: Interval;
    /** Months of the other interval. */
    readonly others: ReadonlySet<number>;
    /** What imports have read. */
    readonly ranges: readonly TimeRange[];
  },
): AssetStatus {
  const sum = (count: (row: MonthRow) => number) => rows.reduce((all, row) => all + count(row), 0);
  const first = rows[0]?.firstHourly ?? rows[0]?.first ?? new Date(0);
  const last = rows.at(-1)?.last ?? new Date(0);
  const range = {
    from: startOf(first.getTime(), interval),
    to: startOf(last.getTime(), interval) + intervalMs[interval],
  };
  const byStart = new Map(rows.map((row) => [monthOf(row), row]));
  const months = byMonth(range)
    .filter(({ from }) => !others.has(startOfMonth(from)))
    .map((part) => {
      const month = startOfMonth(part.from);
      const row = byStart.get(month);
      return {
        month: new Date(month).toISOString().slice(0, 7),
        present: (interval === 'hourly' ? row?.hours : row?.days) ?? 0,
        expected: (part.to - part.from) / intervalMs[interval],
        isRead: subtract(part, ranges).length === 0,
      };
    });
  return {
    symbol,
    interval,
    first,
    last,
    rows: sum((row) => row.rows),
    gaps: months.reduce((all, { present, expected }) => all + Math.max(0, expected - present), 0),
    months,
    candlesMissing: sum((row) => row.candlesMissing),
  };
}

/** What imports of any source have read to its end, by interval and symbol. */
async function readRanges(sql: Sql): Promise<ReadonlyMap<string, readonly TimeRange[]>> {
  const ranges = new Map<string, TimeRange[]>();
  for (const source of seriesSources) {
    for (const interval of intervals) {
      for (const { symbol, from, to } of await readPriceImports(sql, { source, interval })) {
        const key = `${interval} ${symbol}`;
        const known = ranges.get(key);
        if (known) known.push({ from, to });
        else ranges.set(key, [{ from, to }]);
      }
    }
  }
  return ranges;
}
