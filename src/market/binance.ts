import { createHash } from 'node:crypto';
import { dayMs } from '../runtime/days.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import type { OnProgress } from '../runtime/progress.ts';
import { readLines, readZip } from './archive.ts';
import { type FetchOptions, fetchFile } from './fetch.ts';
import { createRollingVolume, type Kline, readBinanceKline } from './klines.ts';
import { findPairs, pairAt } from './pairs.ts';
import {
  byMonth,
  type Interval,
  nextMonth,
  type Price,
  type PricedAsset,
  type PriceQuery,
  type PriceSource,
  startOf,
  type TimeRange,
} from './prices.ts';

export interface BinanceOptions extends FetchOptions {
  /** The host of the dumps, or a mirror. Default `https://data.binance.vision`. */
  readonly baseUrl?: string | undefined;
  /** The currency that prices are in. Default `USDT`. */
  readonly quote?: string | undefined;
  /** Pairs for symbols that the table of this package lacks: `{ BTC: 'BTCUSDT' }`. */
  readonly pairs?: Readonly<Record<string, string>> | undefined;
  readonly onProgress?: OnProgress | undefined;
}

const steps: Readonly<Record<Interval, string>> = { hourly: '1h', daily: '1d' };
/** Measured on small files: two requests, one for the file and one for its checksum. */
const msPerFile = 400;
/** The dump of a month appears in the first days of the next one. */
const monthlyDelayMs = 10 * dayMs;

/**
 * Binance's public dumps: a zip a month, and a zip a day for the month that is not over. A price is the open of its
 * candle; the volume is that of the 24 hours before. Market capitalization is not in the dumps.
 */
export function createBinanceSource(
  options: BinanceOptions,
  { now }: { readonly now: number },
): PriceSource {
  const { baseUrl = 'https://data.binance.vision', quote = 'USDT', pairs = {} } = options;
  const base = baseUrl.replace(/\/+$/, '');
  const names = { quote, pairs };
  let kept: { readonly url: string; readonly klines: readonly Kline[] } | undefined;

  /** The candles of a zip, in order of time; undefined when the host does not have it. */
  const readDump = async (url: string): Promise<readonly Kline[] | undefined> => {
    if (kept?.url === url) return kept.klines;
    const bytes = await fetchChecked(url, options);
    if (!bytes) return undefined;
    const klines = await unpack(bytes, url);
    kept = { url, klines };
    return klines;
  };

  const urlOf = (pair: string, { interval, period }: Dump) => {
    const step = steps[interval];
    const kind = period.length === 7 ? 'monthly' : 'daily';
    return `${base}/data/spot/${kind}/klines/${pair}/${step}/${pair}-${step}-${period}.zip`;
  };

  const monthlyUrlOf = (asset: PricedAsset, { from, interval }: MonthlyDump) =>
    urlOf(pairAt(asset, from, names), {
      interval,
      period: new Date(from).toISOString().slice(0, 7),
    });

  /** The candles of a range within one month, and perhaps others of that month. */
  const readPart = async ({ from, to }: TimeRange, { asset, interval }: PriceQuery) => {
    const pair = pairAt(asset, from, names);
    const monthly = monthlyUrlOf(asset, { from, interval });
    if (to - from > dayMs || kept?.url === monthly) {
      const klines = await readDump(monthly);
      // A month that ended long ago and has no dump is before the listing, or after its end.
      if (klines || now - nextMonth(from) > monthlyDelayMs) return klines ?? [];
    }
    const klines: Kline[] = [];
    for (let day = startOf(from, 'daily'); day < to; day += dayMs) {
      const period = new Date(day).toISOString().slice(0, 10);
      klines.push(...((await readDump(urlOf(pair, { interval, period }))) ?? []));
    }
    return klines;
  };

  return {
    name: 'binance',
    oldest: undefined,
    // The dump of a day appears after its end.
    newest: startOf(now, 'daily'),
    findUnknown: (assets) => findPairs(assets, names),
    split: byMonth,
    cost: ({ range }) => {
      const isOver = now - nextMonth(range.from) > 0;
      const files = isOver ? 1 : 1 + Math.ceil((range.to - range.from) / dayMs);
      return { requests: 2 * files, ms: files * msPerFile };
    },
    address: ({ asset, interval, range: { from } }) => monthlyUrlOf(asset, { from, interval }),
    async *read(query) {
      const { from, to } = query.range;
      const klines: Kline[] = [];
      // The first prices need the volume of the 24 hours before them.
      for (const part of byMonth({ from: from - dayMs, to })) {
        klines.push(...(await readPart(part, query)));
      }
      yield* pricesOf(klines, query);
    },
  };
}

interface MonthlyDump {
  readonly interval: Interval;
  /** A moment of the month. */
  readonly from: number;
}

interface Dump {
  readonly interval: Interval;
  /** `2024-01`, or `2024-01-31`. */
  readonly period: string;
}

function* pricesOf(
  klines: readonly Kline[],
  { asset, interval, range }: PriceQuery,
): Generator<Price> {
  const volume = createRollingVolume();
  let last = Number.NEGATIVE_INFINITY;
  for (const kline of [...klines].sort((a, b) => a.time - b.time)) {
    const time = startOf(kline.time, interval);
    if (time === last) continue;
    last = time;
    if (time >= range.from && time < range.to) {
      yield {
        symbol: asset.symbol,
        time,
        priceUsd: kline.open,
        marketCapUsd: null,
        volume24hUsd: volume.at(time),
      };
    }
    volume.add({ ...kline, time });
  }
}

/** The bytes of a file whose SHA-256 is that of the file beside it; undefined when the host has no such file. */
async function fetchChecked(url: string, options: FetchOptions): Promise<Buffer | undefined> {
  const bytes = await fetchFile(url, options);
  if (!bytes) return undefined;
  const sum = await fetchFile(`${url}.CHECKSUM`, options);
  const expected = /^[0-9a-f]{64}/i.exec(sum?.toString('latin1').trim() ?? '')?.[0]?.toLowerCase();
  const actual = createHash('sha256').update(bytes).digest('hex');
  if (expected === actual) return bytes;
  throw new CryptosenseDbError(
    'source-failed',
    {
      message: `${url} is damaged; nothing of it was written`,
      evidence: [
        `SHA-256 ${actual}`,
        expected
          ? `expected ${expected}, from ${url}.CHECKSUM`
          : `there is no SHA-256 in ${url}.CHECKSUM`,
      ],
      hint: 'run the command again; it goes on where it stopped',
    },
    { details: { host: new URL(url).host, status: 200, attempts: 1 } },
  );
}

async function unpack(bytes: Buffer, url: string): Promise<readonly Kline[]> {
  const klines: Kline[] = [];
  for (const file of await readZip({ bytes }, url)) {
    for await (const lines of readLines(file)) {
      for (const line of lines) {
        const kline = line.text === '' ? undefined : readBinanceKline(line, file.place);
        if (kline) klines.push(kline);
      }
    }
  }
  return klines.sort((a, b) => a.time - b.time);
}
