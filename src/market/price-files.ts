import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { CryptosenseDbError, messageOf } from '../runtime/errors.ts';
import { compareText } from '../runtime/order.ts';
import { type Line, readLines, readTextFiles, type TextFile } from './archive.ts';
import {
  createRollingVolume,
  faultyLine,
  type Kline,
  readBinanceKline,
  readKrakenKline,
  readMoment,
} from './klines.ts';
import { baseOfKrakenPair, baseOfPair, type PairNames } from './pairs.ts';
import type { Price } from './prices.ts';

export type { TextFile } from './archive.ts';
export type { PairNames } from './pairs.ts';

/** Prices of some lines that follow each other. */
export interface FilePrices {
  readonly prices: readonly Price[];
  /** How many lines of the file have been read with this batch. */
  readonly lines: number;
}

/** A file of prices that was recognized by its name or its header. */
export interface PriceFormat {
  /** As `price_history.data_source` names the source. */
  readonly source: 'binance' | 'kraken' | 'file';
  /** That of the file's name; undefined where each row has its own. */
  readonly symbol: string | undefined;
  /** Reads the first line. Throws `file-problem` for an empty file, and `faulty-answer`. */
  readonly check: (file: TextFile) => Promise<void>;
  /** Reads the prices of all lines in their order, in batches. One of them ends at line `endOfBatch`. */
  readonly read: (file: TextFile, endOfBatch: number) => AsyncIterable<FilePrices>;
}

/**
 * The paths of the files in a folder and the folders below it, and of files that links in it lead to, in the order of
 * their names; or the file itself. Throws `file-problem`, also for what is neither, such as a pipe.
 */
export async function listPriceFiles(path: string): Promise<readonly string[]> {
  try {
    const named = await stat(path);
    if (named.isFile()) return [path];
    if (!named.isDirectory()) throw new Error('it is neither a file nor a folder');
    const files: string[] = [];
    for (const entry of await readdir(path, { recursive: true, withFileTypes: true })) {
      const file = join(entry.parentPath, entry.name);
      if (/\.(csv|zip|gz)$/i.test(entry.name) && (await stat(file)).isFile()) files.push(file);
    }
    return files.sort(compareText);
  } catch (error) {
    throw new CryptosenseDbError(
      'file-problem',
      { message: `${path} cannot be read`, evidence: [messageOf(error)] },
      { details: { path }, cause: error },
    );
  }
}

/** The text files of a path: the file, what is in it when it is a zip, or what it holds when it is a gzip. */
export function openPriceFile(path: string): Promise<readonly TextFile[]> {
  return readTextFiles(path, basename(path));
}

/**
 * Finds the format of a file by its name; the format with a header is the one for every other name. Undefined for a file
 * of Binance or Kraken whose pair is in another currency: not in `quote` on Binance, not in dollars on Kraken.
 */
export function formatOf({ name }: TextFile, names: PairNames): PriceFormat | undefined {
  const binance = /^([A-Z0-9]+)-(\d+[a-zA-Z]+)-\d{4}-\d{2}(-\d{2})?\.csv$/.exec(name)?.[1];
  if (binance !== undefined) {
    const symbol = baseOfPair(binance, names);
    return symbol === undefined
      ? undefined
      : { source: 'binance', ...candles(symbol, readBinanceKline) };
  }
  const kraken = /^([A-Z0-9.]+)_(1|5|15|30|60|240|720|1440)\.csv$/.exec(name)?.[1];
  if (kraken !== undefined) {
    const symbol = baseOfKrakenPair(kraken);
    return symbol === undefined
      ? undefined
      : { source: 'kraken', ...candles(symbol, readKrakenKline) };
  }
  const check: PriceFormat['check'] = async (file) => {
    readHeader(await firstLine(file), file.place);
  };
  return { source: 'file', symbol: undefined, check, read: readTable };
}

function candles(symbol: string, readLine: ReadKline): Omit<PriceFormat, 'source'> {
  const check: PriceFormat['check'] = async (file) => {
    readLine(await firstLine(file), file.place);
  };
  return { symbol, check, read: readKlines(symbol, readLine) };
}

async function firstLine(file: TextFile): Promise<Line> {
  for await (const lines of readLines(file)) {
    const line = lines.find(({ text }) => text !== '');
    if (line) return line;
  }
  const { place } = file;
  throw new CryptosenseDbError(
    'file-problem',
    { message: `${place} is empty` },
    { details: { path: place } },
  );
}

/** The lines of a file in batches, of which one ends at line `end`. */
async function* readBatches(file: TextFile, end: number): AsyncGenerator<readonly Line[]> {
  for await (const lines of readLines(file)) {
    const before = end - (lines[0]?.number ?? 1) + 1;
    if (before <= 0 || before >= lines.length) yield lines;
    else {
      yield lines.slice(0, before);
      yield lines.slice(before);
    }
  }
}

/** undefined for a header. */
type ReadKline = (line: Line, place: string) => Kline | undefined;

function readKlines(symbol: string, readLine: ReadKline): PriceFormat['read'] {
  return async function* (file, endOfBatch) {
    const volume = createRollingVolume();
    let last = Number.NEGATIVE_INFINITY;
    for await (const lines of readBatches(file, endOfBatch)) {
      const prices: Price[] = [];
      for (const line of lines) {
        const kline = line.text === '' ? undefined : readLine(line, file.place);
        if (!kline) continue;
        const { time, open } = kline;
        if (time < last) {
          throw faultyLine(file.place, line, 'it is before the line above: sort the file by time');
        }
        const volume24hUsd = volume.at(time);
        prices.push({ symbol, time, priceUsd: open, marketCapUsd: null, volume24hUsd });
        if (time > last) volume.add(kline);
        last = time;
      }
      yield { prices, lines: lines.at(-1)?.number ?? 0 };
    }
  };
}

type TableColumn = 'time' | 'asset_symbol' | 'price_usd' | 'market_cap_usd' | 'volume_24h_usd';
const neededColumns: readonly TableColumn[] = ['time', 'asset_symbol', 'price_usd'];
/** Also negative: what a column cannot hold is counted when it is written. */
const figure = /^-?(\d+(\.\d+)?|\.\d+)([eE][+-]?\d+)?$/;

/** CSV with a header: `time,asset_symbol,price_usd[,market_cap_usd,volume_24h_usd]`. No value has a comma or quotes. */
async function* readTable(file: TextFile, endOfBatch: number): AsyncGenerator<FilePrices> {
  let header: Header | undefined;
  for await (const lines of readBatches(file, endOfBatch)) {
    const prices: Price[] = [];
    for (const line of lines) {
      if (line.text === '') continue;
      if (header === undefined) {
        header = readHeader(line, file.place);
        continue;
      }
      prices.push(readRow(line, header, file.place));
    }
    yield { prices, lines: lines.at(-1)?.number ?? 0 };
  }
}

interface Header {
  /** Of a row. */
  readonly values: number;
  /** The place of each column in a row: -1 where the file does not have it. */
  readonly places: Readonly<Record<TableColumn, number>>;
}

function readHeader(line: Line, place: string): Header {
  const names = line.text.split(',').map((name) =>
    name
      .trim()
      .replace(/^"(.*)"$/, '$1')
      .toLowerCase(),
  );
  const missing = neededColumns.filter((name) => !names.includes(name));
  if (missing.length > 0) {
    throw faultyLine(
      place,
      line,
      `the header has no ${missing.join(', ')}; a file of prices starts with time,asset_symbol,price_usd`,
    );
  }
  return {
    values: names.length,
    places: {
      time: names.indexOf('time'),
      asset_symbol: names.indexOf('asset_symbol'),
      price_usd: names.indexOf('price_usd'),
      market_cap_usd: names.indexOf('market_cap_usd'),
      volume_24h_usd: names.indexOf('volume_24h_usd'),
    },
  };
}

function readRow(line: Line, header: Header, file: string): Price {
  const values = line.text.includes('"') ? unquoted(line.text) : line.text.split(',');
  if (values.length !== header.values) {
    throw faultyLine(
      file,
      line,
      `it has ${values.length} values, and the header has ${header.values}`,
    );
  }
  const read = (column: TableColumn) => (values[header.places[column]] ?? '').trim();
  const time = read('time');
  const symbol = read('asset_symbol');
  const priceUsd = read('price_usd');
  const marketCapUsd = read('market_cap_usd');
  const volume24hUsd = read('volume_24h_usd');
  const moment = readMoment(time);
  if (moment === undefined) {
    throw faultyLine(
      file,
      line,
      `"${time}" is not a time: write ISO 8601 with a time zone, or seconds since 1970`,
    );
  }
  if (symbol === '' || /[\s\\]/.test(symbol)) {
    throw faultyLine(file, line, 'it has no symbol of an asset');
  }
  if (!figure.test(priceUsd)) throw faultyLine(file, line, `"${priceUsd}" is not a price`);
  for (const text of [marketCapUsd, volume24hUsd]) {
    if (text !== '' && !figure.test(text))
      throw faultyLine(file, line, `"${text}" is not a number`);
  }
  return {
    symbol,
    time: moment,
    priceUsd,
    marketCapUsd: marketCapUsd || null,
    volume24hUsd: volume24hUsd || null,
  };
}

/** Takes off the quotes that spreadsheets put around every value. */
function unquoted(text: string): readonly string[] {
  return text.split(',').map((value) => value.trim().replace(/^"(.*)"$/, '$1'));
}
