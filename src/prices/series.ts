import type { Session } from '../database/connection.ts';
import {
  readPriceImports,
  readSymbolOwners,
  recordPriceImports,
  recordSymbolOwners,
} from '../ledger/price-imports.ts';
import {
  byMonth,
  endOf,
  type Interval,
  nextMonth,
  type PlannedQuery,
  type Price,
  type PricedAsset,
  type PriceQuery,
  type PriceSource,
  startOf,
  type TimeRange,
} from '../market/prices.ts';
import { dayMs, isoDay } from '../runtime/days.ts';
import { CryptosenseDbError, isError } from '../runtime/errors.ts';
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
import { readNewest, readPresence, readTaken } from './presence.ts';
import type { PriceSink } from './sink.ts';

export interface SeriesRequest {
  readonly assets: readonly PricedAsset[];
  readonly range: TimeRange;
  readonly interval: Interval;
  readonly isOverwriting: boolean;
}

/** What a source has to be asked for. */
export interface SeriesPlan {
  readonly isOverwriting: boolean;
  readonly assets: readonly PlannedAsset[];
  readonly requests: number;
  /** By the rate limit of the source, without the time for writing. */
  readonly estimatedMs: number;
}

export interface PlannedAsset {
  readonly asset: PricedAsset;
  readonly missing: MissingPrices['months'];
  readonly queries: readonly PlannedQuery[];
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
    from: firstOf(startOf(request.range.from, interval), source),
    to: endOf(Math.min(request.range.to, source.newest), interval),
  };
  const whole = { ...request, range };
  const known = isOverwriting ? nothingKnown : await readKnown(session, source, whole);
  const missing = findMissing(assets, whole, known);
  refuseTooOld(source, missing);
  const planned = missing.map(({ asset, months }) => ({
    asset,
    missing: months,
    queries: joinMonths(months).flatMap((part) => source.split({ asset, interval, range: part })),
  }));
  const requests = countRequests(planned.flatMap(({ queries }) => queries));
  return { isOverwriting, assets: planned, requests, estimatedMs: source.estimateMs(requests) };
}

function countRequests(queries: readonly PlannedQuery[]): number {
  return queries.reduce((sum, { requests }) => sum + requests, 0);
}

const nothingKnown: KnownPrices = { presences: [], asked: [] };

async function readKnown(
  { sql }: Session,
  source: PriceSource,
  { assets, range, interval }: SeriesRequest,
): Promise<KnownPrices> {
  // Records of the ledger can begin before the range, or end after it, in the same month.
  const months = { from: startOfMonth(range.from), to: nextMonth(range.to) };
  // What was asked for an asset that had the symbol before says nothing of this one.
  const owners = await readSymbolOwners(sql);
  const isOther = ({ id, symbol }: PricedAsset) => (owners.get(symbol) ?? id) !== id;
  const others = new Set(assets.filter(isOther).map(({ symbol }) => symbol));
  const asked = await readPriceImports(sql, { source: source.name, interval });
  return {
    presences: await readPresence(sql, assets, { range: months, interval }),
    asked: asked.filter(({ symbol }) => !others.has(symbol)),
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

/**
 * A plan that ends after 365 days has the last hours of the day before its first whole one. A range that begins on that
 * day, as `--days 365` does, begins with the first whole day.
 */
function firstOf(from: number, { oldest }: PriceSource): number {
  return oldest !== undefined && oldest.time - from <= dayMs ? Math.max(from, oldest.time) : from;
}

/** A plan of CoinGecko that ends after a year would refuse the first request, or a later one. */
function refuseTooOld({ oldest }: PriceSource, missing: readonly MissingPrices[]): void {
  if (oldest === undefined) return;
  const first = Math.min(...missing.flatMap(({ months }) => months.map(({ range }) => range.from)));
  if (first >= oldest.time) return;
  throw new CryptosenseDbError('bad-configuration', {
    message: oldest.reason,
    evidence: [
      `the first missing price is of ${isoDay(new Date(first))}, the oldest possible one of ${isoDay(new Date(oldest.time))}`,
    ],
    hint: oldest.hint,
  });
}

interface SeriesImport {
  readonly source: PriceSource;
  readonly plan: SeriesPlan;
  readonly sink: PriceSink;
  readonly onProgress: OnProgress | undefined;
}

/**
 * Reads and writes each query of the plan. Each one is recorded in the transaction that writes it. Returns the error
 * `no-prices`, for the end of the import, when the source does not know an asset, or has given nothing of it.
 */
export async function importSeries(
  session: Session,
  { source, plan, sink, onProgress }: SeriesImport,
): Promise<CryptosenseDbError<'no-prices'> | undefined> {
  const startedAt = performance.now();
  let rows = 0;
  let requests = 0;
  const failures: CryptosenseDbError<'no-prices'>[] = [];
  for (const [index, planned] of plan.assets.entries()) {
    let own = 0;
    let done = requests;
    const onWritten = (query: PlannedQuery, written: number) => {
      own += written;
      done += query.requests;
      onProgress?.({
        kind: 'prices-written',
        of: planned.asset.symbol,
        rows: rows + own,
        rowsPerSecond: Math.round(((rows + own) * 1_000) / (performance.now() - startedAt)),
        requestsLeft: plan.requests - done,
        leftMs: plan.estimatedMs - source.estimateMs(done),
      });
    };
    const { isOverwriting } = plan;
    const asked = { source, planned, isOverwriting, sink, onWritten };
    const failure = await importAsset(session, asked).then(
      (isKnown) => (isKnown ? undefined : noPrices(source, planned)),
      (error: unknown) => {
        if (!isError(error, 'no-prices')) throw error;
        return error;
      },
    );
    if (failure) failures.push(failure);
    rows += own;
    // All of its queries, also those after the one that failed.
    requests += countRequests(planned.queries);
    onProgress?.({
      kind: 'prices-finished',
      of: planned.asset.symbol,
      index: index + 1,
      total: plan.assets.length,
      rows: own,
    });
  }
  return joinFailures(source, failures);
}

function joinFailures(
  { name: source }: PriceSource,
  failures: readonly CryptosenseDbError<'no-prices'>[],
): CryptosenseDbError<'no-prices'> | undefined {
  if (failures.length === 0) return undefined;
  return new CryptosenseDbError(
    'no-prices',
    failures.flatMap(({ problems }) => problems),
    { details: { source, symbols: failures.flatMap(({ details }) => details.symbols) } },
  );
}

/**
 * Whether the source knows the asset. An answer without prices is recorded only then: a wrong pair, or a host without
 * the files, looks like a time before the listing.
 */
async function importAsset(
  session: Session,
  {
    source,
    planned: { asset, queries, missing },
    isOverwriting,
    sink,
    onWritten,
  }: {
    readonly source: PriceSource;
    readonly planned: PlannedAsset;
    readonly isOverwriting: boolean;
    readonly sink: PriceSink;
    readonly onWritten: (query: PlannedQuery, rows: number) => void;
  },
): Promise<boolean> {
  let isKnown = false;
  const empty: PriceQuery[] = [];
  const recorded: TimeRange[] = missing.flatMap(({ asked }) => asked);
  const write = async (answers: readonly Answer[]) => {
    const added = answers.map((answer) => withoutTaken(session, answer, { source, isOverwriting }));
    return sink.write((await Promise.all(added)).flat(), {
      source: source.name,
      record: async () => {
        const isGiven = answers.some(({ prices }) => prices.length > 0);
        if (isGiven) await recordSymbolOwners(session.sql, [asset]);
        for (const answer of answers) {
          recorded.push(...(await recordSeries(session, { source, recorded, ...answer })));
        }
      },
    });
  };
  const writeEmpty = () => write(empty.splice(0).map((query) => ({ query, prices: [] })));
  for (const query of queries) {
    session.throwIfInterrupted();
    const prices = await readAll(source, query);
    isKnown ||= prices.length > 0;
    if (prices.length === 0) empty.push(query);
    onWritten(query, prices.length === 0 ? 0 : await write([{ query, prices }]));
    if (isKnown && empty.length > 0) await writeEmpty();
  }
  if (isKnown) return true;
  const proof = await gaveBefore(session, source, queries);
  if (proof && empty.length > 0) await writeEmpty();
  return proof;
}

/**
 * Whether the source gives prices around the newest one that the database has of it. Then the listing of the asset has
 * ended before the queries, or begins after them. The source is not asked when nothing would be recorded.
 */
async function gaveBefore(
  { sql }: Session,
  source: PriceSource,
  queries: readonly PriceQuery[],
): Promise<boolean> {
  const [query] = queries;
  if (!query) return true;
  const { asset, interval } = query;
  const newest = await readNewest(sql, { source: source.name, symbol: asset.symbol });
  if (newest === undefined) return false;
  const day = startOf(newest, 'daily');
  const isRecorded = queries.some(({ range }) =>
    settledRange(range, [], { newest: source.newest, interval }),
  );
  if (!isRecorded) return true;
  const range = {
    from: day - dayMs,
    to: endOf(Math.min(day + dayMs, source.newest), interval),
  };
  const isTooOld = source.oldest !== undefined && range.from < source.oldest.time;
  return !isTooOld && (await readAll(source, { asset, interval, range })).length > 0;
}

async function readAll(source: PriceSource, query: PriceQuery): Promise<readonly Price[]> {
  const prices: Price[] = [];
  for await (const price of source.read(query)) prices.push(price);
  return prices;
}

function noPrices(
  source: PriceSource,
  { asset, queries }: PlannedAsset,
): CryptosenseDbError<'no-prices'> {
  const { name } = source;
  const [first] = queries;
  const range = { from: first?.range.from ?? 0, to: queries.at(-1)?.range.to ?? 0 };
  return new CryptosenseDbError(
    'no-prices',
    {
      message: `${name} has no price of ${asset.symbol} (${asset.name}) from ${isoDay(new Date(range.from))} until ${isoDay(new Date(range.to - 1))}`,
      evidence: first ? [`asked for: ${source.address(first)}`] : [],
      hint:
        name === 'binance'
          ? 'check --pair, --quote and --base-url; an asset that was not listed then can be left out with --coins'
          : 'check --base-url; an asset that was not listed then can be left out with --coins',
    },
    { details: { source: name, symbols: [asset.symbol] } },
  );
}

/** What a source has given for a query. */
interface Answer {
  readonly query: PriceQuery;
  readonly prices: readonly Price[];
}

/**
 * The prices of hours or days that have none yet: a live feed may have one at another minute. When rows are replaced, also
 * those of hours or days whose row of the same source they replace.
 */
async function withoutTaken(
  { sql }: Session,
  { query: { asset, interval, range }, prices }: Answer,
  { source, isOverwriting }: { readonly source: PriceSource; readonly isOverwriting: boolean },
): Promise<readonly Price[]> {
  if (prices.length === 0) return [];
  const replacing = isOverwriting ? source.name : null;
  const taken = await readTaken(sql, asset.symbol, { range, interval, replacing });
  return prices.filter(({ time }) => !taken.has(time));
}

/**
 * Records what the source need not be asked for again, by month, so that the plan of the next import can compare months.
 * A record and those that it overlaps or follows are one. Returns the ranges of the new records.
 */
async function recordSeries(
  { sql }: Session,
  {
    source: { name, newest },
    query: { asset, interval, range },
    recorded,
    prices,
  }: Answer & { readonly source: PriceSource; readonly recorded: readonly TimeRange[] },
): Promise<readonly TimeRange[]> {
  const settled = settledRange(range, prices, { newest, interval });
  if (!settled) return [];
  const parts = byMonth(settled).map((part) => {
    const month = startOfMonth(part.from);
    return widen(
      part,
      recorded.filter(({ from }) => startOfMonth(from) === month),
    );
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
  return parts;
}
