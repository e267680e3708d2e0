import { isDay } from '../runtime/days.ts';
import { parseWhole } from '../runtime/whole-numbers.ts';
import type { ValueKind } from './command.ts';

const unitsMs: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
/** What a timer of Node takes. */
const longestMs = 2 ** 31 - 1;

/** In milliseconds; a number without a unit is seconds. */
export const duration: ValueKind<number> = {
  expected: 'a time such as 500ms, 90s, 2m, 1h or 7d',
  read: (text) => {
    const [, digits, unit = 's'] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text) ?? [];
    const ms = Math.round(Number(digits) * (unitsMs[unit] ?? Number.NaN));
    return ms <= longestMs ? ms : undefined;
  },
};

const unitsDays: Readonly<Record<string, number>> = { d: 1, w: 7, y: 365 };

/** In days: `5y` is 1,825. */
export const days: ValueKind<number> = {
  expected: 'a time such as 5y, 26w or 90d',
  read: (text) => {
    const [, digits = '', unit = ''] = /^(\d{1,5})([dwy])$/.exec(text) ?? [];
    const count = Number(digits) * (unitsDays[unit] ?? Number.NaN);
    return count >= 1 ? count : undefined;
  },
};

const isoMoment =
  /^(\d{4}-\d{2}-\d{2})(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?(?:Z|[+-]\d{2}:?\d{2}))?$/;

/** ISO 8601 with its time zone; a date without a time is midnight in UTC. */
export const moment: ValueKind<Date> = {
  expected: 'a moment such as 2026-01-31T12:00:00Z',
  read: (text) => {
    const [whole = '', date = ''] = isoMoment.exec(text) ?? [];
    const read = new Date(whole);
    return isDay(date) && !Number.isNaN(read.getTime()) ? read : undefined;
  },
};

export const wholeNumber: ValueKind<number> = {
  expected: 'a whole number',
  read: (text) => parseWhole(text, { from: 0, to: Number.MAX_SAFE_INTEGER }),
};

export const positiveNumber: ValueKind<number> = {
  expected: 'a whole number from 1',
  read: (text) => parseWhole(text, { from: 1, to: Number.MAX_SAFE_INTEGER }),
};

/** `20251007_120000`, or the name of a file that starts with it. */
export const version: ValueKind<string> = {
  expected: 'a version such as 20251007_120000',
  read: (text) => /^(\d{8}_\d{6})(?:_.*)?$/.exec(text)?.[1],
};

export const variableName: ValueKind<string> = {
  expected: 'the name of a variable such as DATABASE_URL',
  read: (text) => (/^[A-Za-z_]\w*$/.test(text) ? text : undefined),
};

/** Symbols, or ids of CoinGecko. */
export const coins: ValueKind<readonly string[]> = {
  expected: 'coins such as BTC,ETH,SOL',
  read: (text) => {
    const words = text.split(',').map((word) => word.trim());
    return words.every((word) => /^[\p{L}\p{N}$._-]+$/u.test(word)) ? words : undefined;
  },
};

/** Names such as those of rules. */
export const names: ValueKind<readonly string[]> = {
  expected: 'names with commas between them, such as job-fails,backup-stale',
  read: (text) => {
    const words = text.split(',').map((word) => word.trim());
    return words.every((word) => /^[a-z0-9-]+$/.test(word)) ? words : undefined;
  },
};

/** Names of tables. One with a comma, or without a letter, has quotes as in SQL. */
export const tableNames: ValueKind<readonly string[]> = {
  expected: 'tables with commas between them, such as users,portfolios',
  read: (text) => {
    const words = text.match(/(?:"(?:[^"]|"")*"|[^,"])+/g)?.map((word) => word.trim()) ?? [];
    return words.length > 0 && words.every((word) => /[\p{L}\p{N}_"]/u.test(word))
      ? words
      : undefined;
  },
};

/** How many clients work at the same time, each number once. */
export const clientCounts: ValueKind<readonly number[]> = {
  expected: 'whole numbers from 1 to 1000 such as 1,20',
  read: (text) => {
    const counts = text.split(',').map((word) => parseWhole(word.trim(), { from: 1, to: 1_000 }));
    const known = counts.filter((count) => count !== undefined);
    return known.length === counts.length ? [...new Set(known)] : undefined;
  },
};
