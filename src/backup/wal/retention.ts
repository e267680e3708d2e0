import { dayMs } from '../../runtime/days.ts';
import { type Keep, type RetentionRule, retain } from '../retention.ts';
import type { PhysicalBackup } from './pgbackrest.ts';

/** Why a physical backup is kept. */
export type PhysicalRule =
  | RetentionRule
  /** It is of the days for which every moment can be restored, or the backup that those days begin with. */
  | { readonly rule: 'wal' }
  /** A backup that is kept builds on it. */
  | { readonly rule: 'needed' };

export interface PhysicalKeep {
  /** For full backups. */
  readonly keep: Keep;
  /** For how many days back every moment can be restored. */
  readonly walDays: number;
  readonly now: Date;
}

export interface PhysicalRetention {
  /** The oldest first. */
  readonly kept: readonly {
    readonly backup: PhysicalBackup;
    readonly rules: readonly PhysicalRule[];
  }[];
  /** With each of them pgBackRest drops the backups that build on it. */
  readonly toExpire: readonly string[];
  /** The WAL from this backup on is kept in whole; undefined without a backup. */
  readonly base: PhysicalBackup | undefined;
  /** How many backups, from the newest back, keep all WAL after them: `repo1-retention-archive` of pgBackRest. */
  readonly withWal: number;
}

/** pgBackRest counts backups only, and has no rules of days, weeks and months. */
export const neverExpires = 9_999_999;

/**
 * Which backups stay. The rules of days, weeks and months are for full backups. Incremental ones stay while their days
 * have WAL, and where another backup builds on them. A backup with damaged pages counts for no rule, unless every
 * backup has them.
 */
export function retainPhysical(
  backups: readonly PhysicalBackup[],
  { keep, walDays, now }: PhysicalKeep,
): PhysicalRetention {
  const sorted = [...backups].sort((a, b) => a.stoppedAt.getTime() - b.stoppedAt.getTime());
  const base = baseOf(sorted, now.getTime() - walDays * dayMs);
  const rulesOf = new Map<PhysicalBackup, PhysicalRule[]>(sorted.map((backup) => [backup, []]));
  const full = sound(sorted.filter(({ type }) => type === 'full'));
  for (const { backup, rules } of retain(full, keep).kept) rulesOf.get(backup)?.push(...rules);
  const withWal = base ? sorted.slice(sorted.indexOf(base)) : [];
  for (const backup of withWal) rulesOf.get(backup)?.push({ rule: 'wal' });
  // From the newest back: a backup stands before those that build on it.
  for (const backup of sorted.toReversed()) {
    const needed = sorted.find(({ label }) => label === backup.prior);
    const rules = needed && rulesOf.get(needed);
    if (rulesOf.get(backup)?.length && rules?.length === 0) rules.push({ rule: 'needed' });
  }
  const all = [...rulesOf].map(([backup, rules]) => ({ backup, rules }));
  const dropped = all.filter(({ rules }) => rules.length === 0).map(({ backup }) => backup);
  return {
    kept: all.filter(({ rules }) => rules.length > 0),
    toExpire: dropped
      .filter(({ prior }) => !dropped.some(({ label }) => label === prior))
      .map(({ label }) => label),
    base,
    withWal: withWal.length,
  };
}

/** The newest backup from before the days of WAL; the oldest one where none is that old. */
function baseOf(oldestFirst: readonly PhysicalBackup[], since: number): PhysicalBackup | undefined {
  const usable = sound(oldestFirst);
  return usable.findLast(({ stoppedAt }) => stoppedAt.getTime() <= since) ?? usable[0];
}

function sound(backups: readonly PhysicalBackup[]): readonly PhysicalBackup[] {
  const undamaged = backups.filter(({ hasDamagedPages }) => !hasDamagedPages);
  return undamaged.length > 0 ? undamaged : backups;
}
