import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import type { Session } from '../database/connection.ts';
import {
  type PriceFile,
  readPriceFiles,
  recordPriceFile,
  recordSymbolOwners,
} from '../ledger/price-imports.ts';
import {
  formatOf,
  listPriceFiles,
  openPriceFile,
  type PairNames,
  type PriceFormat,
  type TextFile,
} from '../market/price-files.ts';
import {
  type Interval,
  type Price,
  type PricedAsset,
  startOf,
  type TimeRange,
} from '../market/prices.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import type { OnProgress } from '../runtime/progress.ts';
import { type AssetLookup, unknownAssets } from './assets.ts';
import type { PriceSink } from './sink.ts';

export interface FilesRequest {
  /** A folder, or a file. */
  readonly path: string;
  readonly names: PairNames;
  readonly range: TimeRange;
  /** By the server's clock. A price of a later moment is of the future. */
  readonly now: number;
  /** Keeps the first price of each hour or day. undefined: keeps every price at its own time. */
  readonly interval: Interval | undefined;
  readonly isOverwriting: boolean;
  /** What the caller asks for of each file, in words: another request reads a file again. */
  readonly asked: string;
  readonly lookUp: AssetLookup;
}

/** Prices of files that were left out, and that the caller may not expect. */
export interface LeftOutPrices {
  /** Older than the retention policy keeps. */
  readonly tooOld: number;
  /** Of the future. Their file is read again by the next import. */
  readonly inFuture: number;
  /** Of the same asset and millisecond as the price before in the file. */
  readonly ofSameMoment: number;
}

/** A file that is to be read, and how much of it is written already. */
export interface PlannedFile {
  readonly name: string;
  readonly file: TextFile;
  readonly format: PriceFormat;
  /** SHA-256 of the file on the disk. */
  readonly checksum: string;
  readonly skipLines: number;
}

export interface FilesPlan {
  readonly files: readonly PlannedFile[];
  /** Names of files that an import has read to their end. */
  readonly finished: readonly string[];
  /** Names of files that are left out: their pairs are not in dollars, or not in that of the request. */
  readonly inOtherCurrency: readonly string[];
}

/**
 * Compares the files with those that imports have recorded, and reads the first line of those that are left. Throws
 * `file-problem`, `faulty-answer`, and `unknown-asset` with every symbol in a file's name that stands for no asset.
 */
export async function planFiles(session: Session, request: FilesRequest): Promise<FilesPlan> {
  const recorded = await readPriceFiles(session.sql);
  const files: PlannedFile[] = [];
  const finished: string[] = [];
  const inOtherCurrency: string[] = [];
  for (const path of await listPriceFiles(request.path)) {
    session.throwIfInterrupted();
    const checksum = await hash(path);
    for (const file of await openPriceFile(path)) {
      if (file.place !== path && !isPriceFile(file)) continue;
      const format = formatOf(file, request.names);
      if (!format) {
        inOtherCurrency.push(file.name);
        continue;
      }
      const key = keyOf(file, { path, asked: request.asked });
      const isSame = (each: PriceFile) => each.checksum === checksum && each.name === key;
      const known = recorded.find(isSame);
      if (known?.isFinished && !request.isOverwriting) finished.push(file.name);
      else {
        const skipLines = known && !known.isFinished ? known.lines : 0;
        files.push({ name: key, file, format, checksum, skipLines });
      }
    }
  }
  if (files.length === 0 && finished.length === 0) throw noFile(request, inOtherCurrency);
  refuseUnknown(files, request.lookUp);
  for (const { file, format } of files) await format.check(file);
  return { files, finished, inOtherCurrency };
}

function refuseUnknown(files: readonly PlannedFile[], lookUp: AssetLookup): void {
  const symbols = new Set(files.flatMap(({ format }) => format.symbol ?? []));
  const faults = [...symbols].flatMap((symbol) => {
    const found = lookUp(symbol);
    return 'fault' in found ? found.fault : [];
  });
  if (faults.length > 0) throw unknownAssets(faults);
}

function noFile(
  { path, names: { quote } }: FilesRequest,
  inOtherCurrency: readonly string[],
): CryptosenseDbError<'file-problem'> {
  const [name] = inOtherCurrency;
  return new CryptosenseDbError(
    'file-problem',
    name === undefined
      ? {
          message: `${path} has no file of prices`,
          evidence: ['a file of prices is a .csv, also within a .zip or a .gz'],
        }
      : {
          message: `${path} has no file of prices in dollars`,
          evidence: [`the pair of ${name} is in another currency`],
          hint: `pairs of Binance are read in ${quote}; --quote names another dollar`,
        },
    { details: { path } },
  );
}

/** A file in an archive that may hold prices: not a text beside them, nor what macOS adds. */
function isPriceFile({ name, place }: TextFile): boolean {
  return /\.csv$/i.test(name) && !name.startsWith('.') && !place.includes('__MACOSX/');
}

/** The name of the file, its place in the archive, and what is asked for of it. */
function keyOf(
  { name, place }: TextFile,
  { path, asked }: { readonly path: string; readonly asked: string },
): string {
  const inside = place.startsWith(path) ? place.slice(path.length) : '';
  return [`${basename(path)}${inside}` || name, asked].filter((part) => part !== '').join(', ');
}

async function hash(path: string): Promise<string> {
  const sum = createHash('sha256');
  for await (const chunk of createReadStream(path)) sum.update(chunk as Buffer);
  return sum.digest('hex');
}

/** What imported files have, besides rows. */
export interface ReadFiles {
  readonly leftOut: LeftOutPrices;
  /** The names of files that have no more than a header. */
  readonly withoutPrices: readonly string[];
}

/** Prices in one transaction. */
const pieceSize = 20_000;

interface Piece {
  readonly prices: readonly Price[];
  /** How many lines of the file are read with this piece. */
  readonly lines: number;
  readonly isLast: boolean;
}

/**
 * Reads and writes the files in the order of their names. Each piece is recorded in the transaction that writes it.
 * While the server writes one piece, the next one is read.
 */
export async function importFiles(
  session: Session,
  {
    plan,
    request,
    sink,
    onProgress,
  }: {
    readonly plan: FilesPlan;
    readonly request: FilesRequest;
    readonly sink: PriceSink;
    readonly onProgress: OnProgress | undefined;
  },
): Promise<ReadFiles> {
  const startedAt = performance.now();
  const leftOut = { tooOld: 0, inFuture: 0, ofSameMoment: 0 };
  const withoutPrices: string[] = [];
  const owners = new Map<string, PricedAsset>();
  let rows = 0;
  for (const [index, planned] of plan.files.entries()) {
    const { file, format, checksum, name } = planned;
    const before = rows;
    const inFuture = leftOut.inFuture;
    const write = async ({ prices, lines, isLast: isFinished }: Piece) => {
      session.throwIfInterrupted();
      rows += await sink.write(prices, {
        source: format.source,
        record: async () => {
          await recordSymbolOwners(session.sql, ownersOf(prices, owners));
          const isAgain = leftOut.inFuture > inFuture;
          const record = isAgain ? { lines: 0, isFinished: false } : { lines, isFinished };
          await recordPriceFile(session.sql, { checksum, name, ...record });
        },
      });
      onProgress?.({
        kind: 'prices-written',
        of: file.name,
        rows,
        rowsPerSecond: Math.round((rows * 1_000) / (performance.now() - startedAt)),
        requestsLeft: 0,
        leftMs: undefined,
      });
    };
    const keep = createFilter(request, { owners, leftOut, place: file.place });
    let found = 0;
    const count = (price: Price) => {
      found += 1;
      return keep(price);
    };
    await oneAhead(readPieces(planned, count), write);
    if (found === 0) withoutPrices.push(file.name);
    onProgress?.({
      kind: 'prices-finished',
      of: file.name,
      index: index + 1,
      total: plan.files.length,
      rows: rows - before,
    });
  }
  return { leftOut, withoutPrices };
}

/** Calls `use` with each item in turn, and reads the next item meanwhile. */
async function oneAhead<T>(
  items: AsyncIterable<T>,
  use: (item: T) => Promise<void>,
): Promise<void> {
  let running: Promise<void> | undefined;
  try {
    for await (const item of items) {
      await running;
      running = use(item);
      // It is awaited above or below; until then a failure is not unhandled.
      running.catch(() => {});
    }
  } finally {
    await running;
  }
}

/**
 * The pieces after the lines that are written. `keep` sees the prices before them too: which price of an hour is the first
 * one must not depend on where an import has stopped.
 */
async function* readPieces(
  { file, format, skipLines }: PlannedFile,
  keep: (price: Price) => Price | undefined,
): AsyncGenerator<Piece> {
  let prices: Price[] = [];
  let read = skipLines;
  for await (const { prices: found, lines } of format.read(file, skipLines)) {
    const isWritten = lines <= skipLines;
    for (const price of found) {
      const kept = keep(price);
      if (kept && !isWritten) prices.push(kept);
    }
    read = Math.max(read, lines);
    if (prices.length >= pieceSize) {
      yield { prices, lines: read, isLast: false };
      prices = [];
    }
  }
  yield { prices, lines: read, isLast: true };
}

/** Keeps prices of the wanted assets and the range, and with an interval the first of each hour or day. */
function createFilter(
  { range, now, interval, lookUp }: FilesRequest,
  {
    owners,
    leftOut,
    place,
  }: {
    /** By symbol. Filled here. */
    readonly owners: Map<string, PricedAsset>;
    /** Counted here. */
    readonly leftOut: { -readonly [kind in keyof LeftOutPrices]: number };
    readonly place: string;
  },
): (price: Price) => Price | undefined {
  const last = new Map<string, number>();
  return (price) => {
    const word = lookUp(price.symbol);
    if ('fault' in word) {
      const { evidence = [], ...fault } = word.fault;
      throw unknownAssets([{ ...fault, evidence: [...evidence, place] }]);
    }
    const { asset } = word;
    if (!asset) return undefined;
    if (price.time >= now) leftOut.inFuture += 1;
    else if (price.time < range.from) leftOut.tooOld += 1;
    if (price.time < range.from || price.time >= range.to) return undefined;
    // A file can name an asset by its id.
    const { symbol } = asset;
    const time = interval === undefined ? price.time : startOf(price.time, interval);
    const before = last.get(symbol);
    if (before === time) {
      if (interval === undefined) leftOut.ofSameMoment += 1;
      return undefined;
    }
    if (interval !== undefined && before !== undefined && time < before) {
      throw unordered(place, { symbol });
    }
    if (before === undefined) owners.set(symbol, asset);
    last.set(symbol, time);
    return symbol === price.symbol && time === price.time ? price : { ...price, symbol, time };
  };
}

/** The assets of prices. */
function ownersOf(
  prices: readonly Price[],
  owners: ReadonlyMap<string, PricedAsset>,
): readonly PricedAsset[] {
  return [...new Set(prices.map(({ symbol }) => symbol))].flatMap(
    (symbol) => owners.get(symbol) ?? [],
  );
}

function unordered(place: string, { symbol }: { readonly symbol: string }) {
  return new CryptosenseDbError(
    'faulty-answer',
    {
      message: `${place}: the prices of ${symbol} are not in order of time`,
      evidence: ['with --interval, the first price of each hour or day counts'],
      hint: 'sort the file by time, or leave --interval out',
    },
    { details: { source: place } },
  );
}
