import {
  byMonth,
  type Interval,
  intervalMs,
  type Price,
  type PricedAsset,
  type TimeRange,
} from '../market/prices.ts';
import { dayMs } from '../runtime/days.ts';

/** A run of hours or days of an asset that each have a price in the database. */
export interface Presence extends TimeRange {
  readonly symbol: string;
}

/** A range within a month that the source was asked for, as the ledger has it. */
export interface AskedRange extends TimeRange {
  readonly symbol: string;
  /** How many hours or days of the range had a price then. */
  readonly slots: number;
}

/** What is to be read of one asset: ranges in order of time, each of whole months or parts of one. */
export interface MissingPrices {
  readonly asset: PricedAsset;
  readonly months: readonly MissingMonth[];
}

export interface MissingMonth {
  /** The start of the month in UTC. */
  readonly month: number;
  /** What is to be read. */
  readonly range: TimeRange;
  /** What the source was asked for in this month, and need not be asked for again. */
  readonly asked: readonly TimeRange[];
  /** How many hours or days of the range, outside of `asked`, have a price already. */
  readonly present: number;
  readonly expected: number;
}

export interface KnownPrices {
  /** Of the whole months that the range of the import begins and ends in. In order of time. */
  readonly presences: readonly Presence[];
  readonly asked: readonly AskedRange[];
}

/**
 * What is to be read in each month of a range of whole hours or days. A record of the ledger holds as long as no price
 * of its range has vanished. What such records cover is not missing: the source has no more of it. Months in which
 * every other hour or day has a price are left out, and so are assets without a missing month.
 */
export function findMissing(
  assets: readonly PricedAsset[],
  { range, interval }: { readonly range: TimeRange; readonly interval: Interval },
  { presences, asked }: KnownPrices,
): readonly MissingPrices[] {
  const runsOf = groupBy(presences, ({ symbol }) => symbol);
  const recordsOf = groupBy(asked, ({ symbol, from }) => keyOf(symbol, from));
  return assets.flatMap((asset) => {
    const runs = runsOf.get(asset.symbol) ?? [];
    const months = byMonth(range).flatMap((part): readonly MissingMonth[] => {
      const records = (recordsOf.get(keyOf(asset.symbol, part.from)) ?? []).filter(
        (record) => countSlots(runs, record, interval) >= record.slots,
      );
      const gaps = subtract(part, records)
        .map((gap) => ({
          ...gap,
          present: countSlots(runs, gap, interval),
          expected: (gap.to - gap.from) / intervalMs[interval],
        }))
        .filter(({ present, expected }) => present < expected);
      const [first, last] = [gaps[0], gaps.at(-1)];
      if (!first || !last) return [];
      return [
        {
          month: startOfMonth(part.from),
          range: { from: first.from, to: last.to },
          asked: records.map(({ from, to }) => ({ from, to })),
          present: gaps.reduce((sum, each) => sum + each.present, 0),
          expected: gaps.reduce((sum, each) => sum + each.expected, 0),
        },
      ];
    });
    return months.length === 0 ? [] : [{ asset, months }];
  });
}

/** How many hours or days of a range are in one of the runs, which do not overlap. */
export function countSlots(
  runs: readonly TimeRange[],
  { from, to }: TimeRange,
  interval: Interval,
): number {
  const ms = runs.reduce(
    (sum, run) => sum + Math.max(0, Math.min(run.to, to) - Math.max(run.from, from)),
    0,
  );
  return ms / intervalMs[interval];
}

/** The parts of a range outside of `others`, in order of time. */
export function subtract(range: TimeRange, others: readonly TimeRange[]): readonly TimeRange[] {
  return others.reduce<readonly TimeRange[]>(
    (parts, other) =>
      parts.flatMap(({ from, to }) =>
        [
          { from, to: Math.min(to, other.from) },
          { from: Math.max(from, other.to), to },
        ].filter((part) => part.from < part.to),
      ),
    [range],
  );
}

/** How long a source may take until it has a price. Binance has published dumps days after their day. */
const settledAfterMs = 7 * dayMs;

/**
 * The part of a range that the source need not be asked for again, after it has answered with `prices`. That part ends
 * at the first hour or day of the last seven days that has no price: it may not be published yet. Undefined when there
 * is no such part.
 */
export function settledRange(
  { from, to }: TimeRange,
  prices: readonly Pick<Price, 'time'>[],
  { newest, interval }: { readonly newest: number; readonly interval: Interval },
): TimeRange | undefined {
  const step = intervalMs[interval];
  const times = new Set(prices.map(({ time }) => time));
  let end = from;
  while (end < to && (end + step <= newest - settledAfterMs || times.has(end))) end += step;
  return end > from ? { from, to: end } : undefined;
}

/** A range together with the others that overlap it, or that it begins or ends at. */
export function widen(range: TimeRange, others: readonly TimeRange[]): TimeRange {
  const touching = others.filter(({ from, to }) => from <= range.to && to >= range.from);
  const wide = {
    from: Math.min(range.from, ...touching.map(({ from }) => from)),
    to: Math.max(range.to, ...touching.map(({ to }) => to)),
  };
  return wide.from < range.from || wide.to > range.to ? widen(wide, others) : range;
}

/** Months that follow each other, as one range. */
export function joinMonths(months: readonly MissingMonth[]): readonly TimeRange[] {
  const ranges: TimeRange[] = [];
  for (const { range } of months) {
    const last = ranges.at(-1);
    if (last?.to === range.from) ranges.splice(-1, 1, { from: last.from, to: range.to });
    else ranges.push(range);
  }
  return ranges;
}

export function startOfMonth(time: number): number {
  const date = new Date(time);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth());
}

function keyOf(symbol: string, time: number): string {
  return `${startOfMonth(time)} ${symbol}`;
}

function groupBy<T>(
  all: readonly T[],
  key: (each: T) => string,
): ReadonlyMap<string, readonly T[]> {
  const groups = new Map<string, T[]>();
  for (const each of all) {
    const group = groups.get(key(each));
    if (group) group.push(each);
    else groups.set(key(each), [each]);
  }
  return groups;
}
