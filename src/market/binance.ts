import { createHash } from 'node:crypto';
import { dayMs, isoDay } from '../runtime/days.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import type { OnProgress } from '../runtime/progress.ts';
import { readLines, readZip } from './archive.ts';
import { type FetchOptions, fetchFile } from './fetch.ts';
import { createRollingVolume, type Kline, readBinanceKline } from './klines.ts';
import { findPairs, type PairRange, pairsIn } from './pairs.ts';
import {
  byMonth,
  type Interval,
  nextMonth,
  type Price,
  type PriceQuery,
  type PriceSource,
  splitRange,
  startOf,
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
/** Measured on small files: 400 ms for the file and its checksum. */
const msPerRequest = 200;
/** The dump of a month appears in the first days of the next one. */
const monthlyDelayMs = 10 * dayMs;

/**
 * Binance's public dumps: a zip a month, or a zip a day where there is none of the month. A price is the open of its
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
  const absent = new Set<string>();

  /** The candles of a zip, in order of time; undefined when the host does not have it. */
  const readDump = async (url: string): Promise<readonly Kline[] | undefined> => {
    if (kept?.url === url) return kept.klines;
    if (absent.has(url)) return undefined;
    const bytes = await fetchChecked(url, options);
    if (!bytes) {
      absent.add(url);
      return undefined;
    }
    const klines = await unpack(bytes, url);
    kept = { url, klines };
    return klines;
  };

  /** The parts of a range that have one pair and are within one month. */
  const partsOf = ({ asset, range }: PriceQuery): readonly PairRange[] =>
    byMonth(range).flatMap((part) => pairsIn(asset, part, names));

  /** The dumps that can have the candles of a part: that of its month once the month is over, or those of its days. */
  const dumpsOf = ({ pair, from, to }: PairRange, interval: Interval) => {
    const step = steps[interval];
    const urlOf = (kind: 'monthly' | 'daily', period: string) =>
      `${base}/data/spot/${kind}/klines/${pair}/${step}/${pair}-${step}-${period}.zip`;
    const days = splitRange({ from: startOf(from, 'daily'), to }, dayMs);
    const monthEnd = nextMonth(from);
    return {
      monthly: monthEnd <= now ? urlOf('monthly', isoDay(new Date(from)).slice(0, 7)) : undefined,
      daily: days.map((day) => urlOf('daily', isoDay(new Date(day.from)))),
      isMonthlyDue: now - monthEnd > monthlyDelayMs,
    };
  };

  const hasAny = async (urls: readonly (string | undefined)[]): Promise<boolean> => {
    for (const url of urls) if (url !== undefined && (await readDump(url))) return true;
    return false;
  };

  /** The candles of a part, and perhaps others of its month. */
  const readPart = async (part: PairRange, interval: Interval): Promise<readonly Kline[]> => {
    const { monthly, daily, isMonthlyDue } = dumpsOf(part, interval);
    const month = monthly && (await readDump(monthly));
    if (month) return month;
    // Before the listing, or after its end: the days between need not be asked for.
    if (isMonthlyDue && !(await hasAny([daily.at(-1), daily[0]]))) return [];
    const klines: Kline[] = [];
    for (const url of daily) klines.push(...((await readDump(url)) ?? []));
    return klines;
  };

  const countDumps = (query: PriceQuery) =>
    partsOf(query).reduce((sum, part) => {
      const { monthly, daily, isMonthlyDue } = dumpsOf(part, query.interval);
      return sum + (monthly ? 1 : 0) + (isMonthlyDue ? 0 : daily.length);
    }, 0);

  return {
    name: 'binance',
    oldest: undefined,
    // The dump of a day appears after its end.
    newest: startOf(now, 'daily'),
    findUnknown: (assets) => findPairs(assets, names),
    split: (query) =>
      byMonth(query.range).map((range, index) => {
        const single = { ...query, range };
        // The dump that has the day before a later month is that of the query before.
        const dumps = countDumps(index === 0 ? withDayBefore(single) : single);
        return { ...single, requests: 2 * dumps };
      }),
    estimateMs: (requests) => requests * msPerRequest,
    address: (query) => {
      const [part] = partsOf(query);
      const { monthly, daily } = part ? dumpsOf(part, query.interval) : { daily: [] };
      return monthly ?? daily[0] ?? base;
    },
    async *read(query) {
      const klines: Kline[] = [];
      for (const part of partsOf(withDayBefore(query))) {
        klines.push(...(await readPart(part, query.interval)));
      }
      yield* pricesOf(klines, query);
    },
  };
}

/** The first prices of a range need the volume of the 24 hours before them. */
function withDayBefore({ range, ...query }: PriceQuery): PriceQuery {
  return { ...query, range: { ...range, from: range.from - dayMs } };
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
