import { dayMs, isDay } from '../runtime/days.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import type { Line } from './archive.ts';

/** One candle of an exchange: the price at its start, and what was traded in it. */
export interface Kline {
  /** In milliseconds since 1970. */
  readonly time: number;
  readonly open: string;
  /** In the quote currency; undefined where the file does not have it. */
  readonly quoteVolume: number | undefined;
}

const isoMoment = /^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}(:?\d{2})?))?$/;
const hoursOnlyZone = /:.*[+-]\d{2}$/;

/**
 * A moment as exchanges write it: seconds, milliseconds or microseconds since 1970, or ISO 8601 with a time zone.
 * Returns milliseconds; undefined for any other text, such as `20260601120000`.
 */
export function readMoment(text: string): number | undefined {
  const [, digits] = /^(\d+)(?:\.\d+)?$/.exec(text) ?? [];
  if (digits !== undefined) {
    // The numbers of these lengths are from 2001 to 2286.
    const perMs = { 10: 1 / 1_000, 13: 1, 16: 1_000 }[digits.length];
    return perMs && Math.floor(Number(text) / perMs);
  }
  if (!isoMoment.test(text) || !isDay(text.slice(0, 10))) return undefined;
  const isoText = text.replace(' ', 'T');
  const moment = Date.parse(hoursOnlyZone.test(isoText) ? `${isoText}:00` : isoText);
  return Number.isNaN(moment) ? undefined : moment;
}

const decimalNumber = /^\d+(\.\d+)?$/;

/** Binance: open time, open, high, low, close, volume, close time, quote volume and four more. */
export function readBinanceKline(line: Line, place: string): Kline | undefined {
  const [time = '', open = '', , , , , , quoteVolume = ''] = line.text.split(',');
  if (line.number === 1 && /^open/i.test(time)) return undefined;
  const moment = /^\d{13}(\d{3})?$/.test(time) ? readMoment(time) : undefined;
  if (moment === undefined || !decimalNumber.test(open) || !decimalNumber.test(quoteVolume)) {
    throw faultyLine(place, line, 'it is not a row of a kline file of Binance');
  }
  return { time: moment, open, quoteVolume: Number(quoteVolume) };
}

/** Kraken's OHLCVT: time in seconds, open, high, low, close, volume in the base currency, trades. */
export function readKrakenKline(line: Line, place: string): Kline {
  const [time = '', open = ''] = line.text.split(',');
  const moment = /^\d{10}$/.test(time) ? readMoment(time) : undefined;
  if (moment === undefined || !decimalNumber.test(open)) {
    throw faultyLine(place, line, "it is not a row of Kraken's OHLCVT");
  }
  return { time: moment, open, quoteVolume: undefined };
}

export function faultyLine(
  place: string,
  { number, text }: Line,
  fault: string,
): CryptosenseDbError<'faulty-answer'> {
  const shown = text.length > 80 ? `${text.slice(0, 80)}…` : text;
  return new CryptosenseDbError(
    'faulty-answer',
    { message: `${place}:${number}: ${fault}`, evidence: [shown] },
    { details: { source: place } },
  );
}

/**
 * The volume of the 24 hours before a moment, from candles of an hour or a day. `add` each candle once, in order of time.
 * `at` is null when the candles do not reach back 24 hours; an hour without a trade counts as none.
 */
export function createRollingVolume(): {
  readonly add: (kline: Kline) => void;
  readonly at: (time: number) => string | null;
} {
  const window: Kline[] = [];
  let first: number | undefined;
  return {
    add: (kline) => {
      first ??= kline.time;
      window.push(kline);
    },
    at: (time) => {
      while (window[0] && window[0].time < time - dayMs) window.shift();
      if (first === undefined || first > time - dayMs) return null;
      let sum = 0;
      for (const { quoteVolume } of window) {
        if (quoteVolume === undefined) return null;
        sum += quoteVolume;
      }
      return sum.toFixed(2);
    },
  };
}
