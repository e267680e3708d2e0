import { dayMs, hourMs } from '../runtime/days.ts';

/** The spacing of imported prices. */
export type Interval = 'daily' | 'hourly';
export const intervals: readonly Interval[] = ['daily', 'hourly'];

export const intervalMs: Readonly<Record<Interval, number>> = { daily: dayMs, hourly: hourMs };

/** Moments from `from` until before `to`, in milliseconds since 1970. */
export interface TimeRange {
  readonly from: number;
  readonly to: number;
}

/** Currencies that are a dollar: the prices of their pairs are in USD. */
export const dollars = ['USDT', 'USDC', 'FDUSD', 'BUSD', 'TUSD', 'USD', 'DAI'] as const;

/** Figures are decimal numbers as text. */
export interface Price {
  readonly symbol: string;
  /** In milliseconds since 1970. Of a source by asset and range: the start of an hour or a day. */
  readonly time: number;
  readonly priceUsd: string;
  readonly marketCapUsd: string | null;
  readonly volume24hUsd: string | null;
}

/** An asset of the table `assets`. */
export interface PricedAsset {
  /** CoinGecko's id, which is unique. */
  readonly id: string;
  readonly symbol: string;
  readonly name: string;
}

/** What a source is asked for: an asset, and a range of whole hours or days. */
export interface PriceQuery {
  readonly asset: PricedAsset;
  readonly interval: Interval;
  readonly range: TimeRange;
}

/** A query that one read answers. */
export interface PlannedQuery extends PriceQuery {
  /** An estimate. */
  readonly requests: number;
}

/** The sources that are asked by asset and range. */
export const seriesSources = ['coingecko', 'binance'] as const;

/** A source of prices by asset and range: CoinGecko, or Binance. */
export interface PriceSource {
  /** As the column `data_source` names it. */
  readonly name: string;
  /** The start of the oldest day that the source has, where that is known before a request. */
  readonly oldest:
    | { readonly time: number; readonly reason: string; readonly hint: string }
    | undefined;
  /**
   * The source has no price from here on. What it lacks of the time shortly before may still come: see `settledRange`.
   */
  readonly newest: number;
  /** The assets that the source has no prices for, with what to do about them. */
  readonly findUnknown: (assets: readonly PricedAsset[]) => readonly UnknownAsset[];
  /** Queries that one read answers each, in order of time, from a query of any length. Read them in that order. */
  readonly split: (query: PriceQuery) => readonly PlannedQuery[];
  /** How long the first requests of an import take, with the waits of the rate limit. */
  readonly estimateMs: (requests: number) => number;
  /** What a read asks for the first price of the range, for messages: an address without a key. */
  readonly address: (query: PriceQuery) => string;
  /**
   * The prices of a range in order of time, at most one an hour or a day. An hour without a price is left out. Throws
   * `no-prices` when the source does not know the asset, `source-failed`, `coingecko-failed`, `faulty-answer` and
   * `interrupted`.
   */
  readonly read: (query: PriceQuery) => AsyncIterable<Price>;
}

export interface UnknownAsset {
  readonly asset: PricedAsset;
  readonly hint: string;
}

/** Ranges of at most `mostMs`, in order, that together are `range`. */
export function splitRange({ from, to }: TimeRange, mostMs: number): readonly TimeRange[] {
  const ranges: TimeRange[] = [];
  for (let start = from; start < to; start += mostMs) {
    ranges.push({ from: start, to: Math.min(start + mostMs, to) });
  }
  return ranges;
}

/** The start of the hour or the day in UTC. */
export function startOf(time: number, interval: Interval): number {
  return Math.floor(time / intervalMs[interval]) * intervalMs[interval];
}

/** The end of the hour or the day in UTC that a moment is in. A moment that is the start of one is returned unchanged. */
export function endOf(time: number, interval: Interval): number {
  return Math.ceil(time / intervalMs[interval]) * intervalMs[interval];
}

/** The start of the next calendar month in UTC. */
export function nextMonth(time: number): number {
  const date = new Date(time);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1);
}

/** The calendar months of a range, in UTC. */
export function byMonth({ from, to }: TimeRange): readonly TimeRange[] {
  const months: TimeRange[] = [];
  for (let start = from; start < to; start = nextMonth(start)) {
    months.push({ from: start, to: Math.min(nextMonth(start), to) });
  }
  return months;
}
