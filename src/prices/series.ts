import type { Session } from '../database/connection.ts';
import { readPriceImports, recordPriceImports } from '../ledger/price-imports.ts';
import {
  byMonth,
  endOf,
  type Interval,
  nextMonth,
  type Price,
  type PricedAsset,
  type PriceQuery,
  type PriceSource,
  startOf,
  type TimeRange,
} from '../market/prices.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import type { OnProgress } from '../runtime/progress.ts';
import {
  countSlots,
  findMissing,
  joinMonths,
  type KnownPrices,
  type MissingPrices,
  settledRange,
  startOfMonth,
  widen,
} from './plan.ts';
import { readPresence } from './presence.ts';
import type { PriceSink } from './sink.ts';

export interface SeriesRequest {
  readonly assets: readonly PricedAsset[];
  readonly range: TimeRange;
  readonly interval: Interval;
  readonly isOverwriting: boolean;
}

/** What a source has to be asked for. */
export interface SeriesPlan {
  readonly assets: readonly PlannedAsset[];
  readonly requests: number;
  /** By the rate limit of the source, without the time for writing. */
  readonly estimatedMs: number;
}

export interface PlannedAsset {
  readonly asset: PricedAsset;
  readonly missing: MissingPrices['months'];
  readonly queries: readonly PriceQuery[];
}

/**
 * Compares what the request asks for with the database. Throws `bad-configuration` when the source does not have the
 * assets, or not so much history; nothing is requested then.
 */
export async function planSeries(
  session: Session,
  source: PriceSource,
  request: SeriesRequest,
): Promise<SeriesPlan> {
  const { assets, interval, isOverwriting } = request;
  refuseUnknown(source, assets);
  const range = {
    from: startOf(request.range.from, interval),
    to: endOf(Math.min(request.range.to, source.newest), interval),
  };
  const whole = { ...request, range };
  const known = isOverwriting ? nothingKnown : await readKnown(session, source, whole);
  const missing = findMissing(assets, whole, known);
  refuseTooOld(source, missing);
  const planned = missing.map(({ asset, months }) => ({
    asset,
    missing: months,
    queries: joinMonths(months).flatMap((part) =>
      source.split(part, interval).map((each) => ({ asset, interval, range: each })),
    ),
  }));
  const costs = planned.flatMap(({ queries }) => queries.map(source.cost));
  return {
    assets: planned,
    requests: costs.reduce((sum, { requests }) => sum + requests, 0),
    estimatedMs: costs.reduce((sum, { ms }) => sum + ms, 0),
  };
}

const nothingKnown: KnownPrices = { presences: [], asked: [] };

async function readKnown(
  { sql }: Session,
  source: PriceSource,
  { assets, range, interval }: SeriesRequest,
): Promise<KnownPrices> {
  // Records of the ledger can begin before the range, or end after it, in the same month.
  const months = { from: startOfMonth(range.from), to: nextMonth(range.to) };
  return {
    presences: await readPresence(sql, assets, { range: months, interval }),
    asked: await readPriceImports(sql, { source: source.name, interval }),
  };
}

function refuseUnknown(source: PriceSource, assets: readonly PricedAsset[]): void {
  const unknown = source.findUnknown(assets);
  if (unknown.length === 0) return;
  throw new CryptosenseDbError(
    'bad-configuration',
    unknown.map(({ asset: { symbol, name }, hint }) => ({
      message: `no pair on ${source.name} is known for ${symbol} (${name})`,
      hint,
    })),
  );
}

/** A plan of CoinGecko that ends after a year would refuse the first request, or a later one. */
function refuseTooOld({ oldest }: PriceSource, missing: readonly MissingPrices[]): void {
  if (oldest === undefined) return;
  const first = Math.min(...missing.flatMap(({ months }) => months.map(({ range }) => range.from)));
  if (first >= oldest.time) return;
  throw new CryptosenseDbError('bad-configuration', {
    message: oldest.reason,
    evidence: [
      `the first missing price is of ${isoDay(first)}, the oldest possible one of ${isoDay(oldest.time)}`,
    ],
    hint: oldest.hint,
  });
}

function isoDay(time: number): string {
  return new Date(time).toISOString().slice(0, 10);
}

/** Reads and writes each query of the plan. Each one is recorded in the transaction that writes it. */
export async function importSeries(
  session: Session,
  {
    source,
    plan,
    sink,
    onProgress,
  }: {
    readonly source: PriceSource;
    readonly plan: SeriesPlan;
    readonly sink: PriceSink;
    readonly onProgress: OnProgress | undefined;
  },
): Promise<void> {
  const startedAt = performance.now();
  let { requests, estimatedMs } = plan;
  let rows = 0;
  for (const [index, { asset, queries, missing }] of plan.assets.entries()) {
    let own = 0;
    for (const query of queries) {
      session.throwIfInterrupted();
      const prices: Price[] = [];
      for await (const price of source.read(query)) prices.push(price);
      own += await sink.write(prices, {
        source: source.name,
        record: () => recordSeries(session, { source, query, missing, prices }),
      });
      const cost = source.cost(query);
      requests -= cost.requests;
      estimatedMs -= cost.ms;
      onProgress?.({
        kind: 'prices-written',
        of: asset.symbol,
        rows: rows + own,
        rowsPerSecond: Math.round(((rows + own) * 1_000) / (performance.now() - startedAt)),
        requestsLeft: requests,
        leftMs: estimatedMs,
      });
    }
    rows += own;
    onProgress?.({
      kind: 'prices-finished',
      of: asset.symbol,
      index: index + 1,
      total: plan.assets.length,
      rows: own,
    });
  }
}

/**
 * Records what the source need not be asked for again, by month, so that the plan of the next import can compare months.
 * A record and those that it follows are one.
 */
async function recordSeries(
  { sql }: Session,
  {
    source: { name, newest },
    query: { asset, interval, range },
    missing,
    prices,
  }: {
    readonly source: PriceSource;
    readonly query: PriceQuery;
    readonly missing: PlannedAsset['missing'];
    readonly prices: readonly Price[];
  },
): Promise<void> {
  const settled = settledRange(range, prices, { newest, interval });
  if (!settled) return;
  const parts = byMonth(settled).map((part) => {
    const month = missing.find((each) => each.month === startOfMonth(part.from));
    return widen(part, month?.asked ?? []);
  });
  const whole = { from: startOfMonth(settled.from), to: nextMonth(settled.to) };
  const runs = await readPresence(sql, [asset], { range: whole, interval });
  await recordPriceImports(
    sql,
    parts.map((part) => ({
      source: name,
      symbol: asset.symbol,
      interval,
      ...part,
      rows: prices.filter(({ time }) => time >= part.from && time < part.to).length,
      slots: countSlots(runs, part, interval),
    })),
  );
}
