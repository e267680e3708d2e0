import {
  byMonth,
  type Interval,
  intervalMs,
  type PricedAsset,
  type TimeRange,
} from '../market/prices.ts';

/** How many hours or days of a month have a price in the database. */
export interface Presence {
  readonly symbol: string;
  /** The start of the month in UTC. */
  readonly month: number;
  readonly slots: number;
}

/** A month of an asset that an import has read to its end. */
export interface ImportedMonth {
  readonly symbol: string;
  readonly month: number;
  readonly range: TimeRange;
  /** How many hours or days of the range had a price after the import. */
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
  /** Imports have read the month from here until the start of `range`. */
  readonly readFrom: number;
  /** How many hours or days of the month, within the import, have a price already. */
  readonly present: number;
  readonly expected: number;
}

export interface KnownPrices {
  readonly presences: readonly Presence[];
  readonly imported: readonly ImportedMonth[];
}

/**
 * The months in which prices are missing. What the source has been asked for already is left out, as long as the rows
 * are still there: the source has no more of it. Assets without a missing month are left out.
 */
export function findMissing(
  assets: readonly PricedAsset[],
  { range, interval }: { readonly range: TimeRange; readonly interval: Interval },
  { presences, imported }: KnownPrices,
): readonly MissingPrices[] {
  const slots = new Map(presences.map((each) => [keyOf(each), each.slots]));
  const records = new Map(imported.map((each) => [keyOf(each), each]));
  return assets.flatMap((asset) => {
    const months = byMonth(range).flatMap((part): readonly MissingMonth[] => {
      const month = startOfMonth(part.from);
      const key = keyOf({ symbol: asset.symbol, month });
      const present = slots.get(key) ?? 0;
      const expected = Math.ceil((part.to - part.from) / intervalMs[interval]);
      const record = records.get(key);
      const isValid = record && record.range.from <= part.from && record.slots <= present;
      const from = isValid ? Math.max(part.from, record.range.to) : part.from;
      const readFrom = isValid ? record.range.from : part.from;
      if (present >= expected || from >= part.to) return [];
      return [{ month, range: { from, to: part.to }, readFrom, present, expected }];
    });
    return months.length === 0 ? [] : [{ asset, months }];
  });
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

function keyOf({ symbol, month }: { readonly symbol: string; readonly month: number }): string {
  return `${month} ${symbol}`;
}
