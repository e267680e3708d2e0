import { dayMs, isoDay } from '../runtime/days.ts';
import { parseWhole } from '../runtime/whole-numbers.ts';

/** How many of the last days, weeks and months that have a backup keep their newest one. */
export interface Keep {
  /** In UTC. */
  readonly days: number;
  /** Of ISO 8601: from Monday to Sunday. */
  readonly weeks: number;
  readonly months: number;
}

/** `7d,4w,12m` */
export const defaultKeep: Keep = { days: 7, weeks: 4, months: 12 };

/** A hundred years of days. */
export const mostKept = 36_500;

/** Why a backup is kept. `period` is `2026-01-31`, `2026-W05` or `2026-01`. */
export type RetentionRule =
  | { readonly rule: 'newest' }
  | { readonly rule: 'day' | 'week' | 'month'; readonly period: string };

export interface Retention<Backup> {
  /** The newest first, each with every rule that keeps it. */
  readonly kept: readonly { readonly backup: Backup; readonly rules: readonly RetentionRule[] }[];
  /** The newest first. */
  readonly dropped: readonly Backup[];
}

/**
 * Splits the backups of one database into those that a rule keeps, and the rest. A day, week or month without a backup
 * does not count: where backups have stopped, none of the old ones is dropped. One backup can count for several rules.
 * The newest is always kept. Of several from the same moment, the first in the list counts as the newest.
 */
export function retain<Backup extends { readonly startedAt: Date }>(
  backups: readonly Backup[],
  keep: Keep,
): Retention<Backup> {
  const sorted = [...backups].sort((a, b) => b.startedAt.getTime() - a.startedAt.getTime());
  const rulesOf = new Map<Backup, RetentionRule[]>(sorted.map((backup) => [backup, []]));
  const [newest] = sorted;
  if (newest) rulesOf.get(newest)?.push({ rule: 'newest' });
  for (const [period, backup] of newestOfEach(sorted, keep.days, isoDay)) {
    rulesOf.get(backup)?.push({ rule: 'day', period });
  }
  for (const [period, backup] of newestOfEach(sorted, keep.weeks, isoWeek)) {
    rulesOf.get(backup)?.push({ rule: 'week', period });
  }
  for (const [period, backup] of newestOfEach(sorted, keep.months, isoMonth)) {
    rulesOf.get(backup)?.push({ rule: 'month', period });
  }
  const all = [...rulesOf].map(([backup, rules]) => ({ backup, rules }));
  return {
    kept: all.filter(({ rules }) => rules.length > 0),
    dropped: all.filter(({ rules }) => rules.length === 0).map(({ backup }) => backup),
  };
}

/** The newest backup of each of the last `count` periods that have one. */
function newestOfEach<Backup extends { readonly startedAt: Date }>(
  newestFirst: readonly Backup[],
  count: number,
  periodOf: (moment: Date) => string,
): readonly (readonly [period: string, backup: Backup])[] {
  const found = new Map<string, Backup>();
  for (const backup of newestFirst) {
    const period = periodOf(backup.startedAt);
    if (!found.has(period)) found.set(period, backup);
  }
  return [...found].slice(0, count);
}

function isoMonth(moment: Date): string {
  return moment.toISOString().slice(0, 7);
}

/** `2026-W05`. A week of ISO 8601 belongs to the year that its Thursday is in. */
export function isoWeek(moment: Date): string {
  const weekday = (moment.getUTCDay() + 6) % 7;
  const thursday = new Date(moment.getTime() + (3 - weekday) * dayMs);
  const year = thursday.getUTCFullYear();
  const week = Math.floor((thursday.getTime() - Date.UTC(year, 0, 1)) / (7 * dayMs)) + 1;
  return `${year}-W${String(week).padStart(2, '0')}`;
}

const units: Readonly<Record<string, keyof Keep>> = { d: 'days', w: 'weeks', m: 'months' };

/** Reads `7d,4w,12m`, in any order; a unit that is not named keeps nothing. undefined: the text is not such rules. */
export function parseKeep(text: string): Keep | undefined {
  const keep = new Map<keyof Keep, number>();
  for (const part of text.split(',')) {
    const [, digits = '', letter = ''] = /^ *(\d+)([dwm]) *$/.exec(part) ?? [];
    const count = parseWhole(digits, { from: 1, to: mostKept });
    const unit = units[letter];
    if (count === undefined || unit === undefined || keep.has(unit)) return undefined;
    keep.set(unit, count);
  }
  return {
    days: keep.get('days') ?? 0,
    weeks: keep.get('weeks') ?? 0,
    months: keep.get('months') ?? 0,
  };
}
