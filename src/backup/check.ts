import type { Target } from '../database/target.ts';
import type { RunOptions } from '../ledger/run.ts';
import { hourMs } from '../runtime/days.ts';
import { type Backup, isFromFuture, readCatalog } from './catalog.ts';
import { readVerification } from './verification.ts';
import { type WalState, walState } from './wal/state.ts';
import { type StoreOptions, withStore } from './with-store.ts';

export interface CheckOptions extends StoreOptions, Pick<RunOptions, 'onProgress' | 'signal'> {
  /** Default: every database of the store. */
  readonly database?: string | undefined;
  /** How old the newest backup may be. Default: 26 hours, a day and two hours to make it in. */
  readonly maxAgeMs?: number | undefined;
  /** How old the newest verified backup may be. Default: 8 days, a week and a day. */
  readonly maxVerifiedAgeMs?: number | undefined;
  /** How much may be lost at most, as a time: also checks the WAL. Default: only the backups are checked. */
  readonly rpoMs?: number | undefined;
  /** The server whose archiver is asked, with `rpoMs`. Default: only the repository of pgBackRest is read. */
  readonly target?: Target | string | undefined;
  /** pgBackRest's configuration and its name for the server, with `rpoMs`. */
  readonly config?: string | undefined;
  readonly stanza?: string | undefined;
  readonly now?: Date | undefined;
}

export interface CheckedDatabase {
  readonly database: string;
  /** null without a backup that can be used. */
  readonly newest: { readonly id: string; readonly at: Date; readonly ageMs: number } | null;
  /** The newest backup that was found whole; null without one. */
  readonly verified: { readonly id: string; readonly at: Date; readonly ageMs: number } | null;
}

export interface CheckProblem {
  readonly kind: 'no backup' | 'too old' | 'not verified' | 'damaged' | 'from the future';
  readonly database: string;
  /** undefined where there is no backup, or it has no age. */
  readonly ageMs: number | undefined;
  readonly detail: string;
}

export interface CheckResult {
  readonly store: string;
  readonly maxAgeMs: number;
  readonly maxVerifiedAgeMs: number;
  readonly databases: readonly CheckedDatabase[];
  readonly problems: readonly CheckProblem[];
  /** undefined: it was not asked for. */
  readonly wal: WalState | undefined;
  readonly isFine: boolean;
}

interface Verified {
  readonly backup: Backup;
  readonly at: Date;
}

interface Failed extends Verified {
  readonly reason: string;
}

/**
 * Whether the backups, and the WAL where `rpoMs` is given, are as new as they should be: for a monitor. Reads manifests
 * and lists only. Throws `store-failed`, `bad-configuration`, and with `rpoMs` what `walState` throws.
 */
export async function check(options: CheckOptions): Promise<CheckResult> {
  const {
    database,
    maxAgeMs = 26 * hourMs,
    maxVerifiedAgeMs = 8 * 24 * hourMs,
    now = new Date(),
  } = options;
  return withStore(options, async (store) => {
    const { backups, damaged } = await readCatalog(store, { database });
    const names = new Set([...backups, ...damaged].map((each) => each.database));
    if (database !== undefined) names.add(database);
    const ageOf = (at: Date) => Math.max(0, now.getTime() - at.getTime());
    const future = backups.filter((backup) => isFromFuture(backup, now));
    const verified: Verified[] = [];
    const failed: Failed[] = [];
    for (const backup of backups) {
      const found = await readVerification(store, backup);
      if (found?.isWhole === false) failed.push({ backup, at: found.at, reason: found.reason });
      // A clock that was wrong must not count as a verification until its time has come.
      else if (found && !isFromFuture({ startedAt: found.at }, now)) {
        verified.push({ backup, at: found.at });
      }
    }
    const usable = backups.filter(
      (backup) => !future.includes(backup) && !failed.some((each) => each.backup === backup),
    );
    const databases = [...names].map((name): CheckedDatabase => {
      const own = usable.filter((each) => each.database === name);
      const [newest] = own;
      const last = verified
        .filter(({ backup }) => own.includes(backup))
        .reduce<Verified | undefined>((a, b) => (a && a.at >= b.at ? a : b), undefined);
      return {
        database: name,
        newest: newest
          ? { id: newest.id, at: newest.startedAt, ageMs: ageOf(newest.startedAt) }
          : null,
        verified: last ? { id: last.backup.id, at: last.at, ageMs: ageOf(last.at) } : null,
      };
    });
    const problems: readonly CheckProblem[] = [
      ...(databases.length === 0
        ? [
            {
              kind: 'no backup' as const,
              database: '',
              ageMs: undefined,
              detail: `${store.name} has no backup`,
            },
          ]
        : []),
      ...databases.flatMap((each) => problemsOf(each, { maxAgeMs, maxVerifiedAgeMs })),
      ...damaged.map(({ database: name, id, reason, startedAt }) => ({
        kind: 'damaged' as const,
        database: name,
        ageMs: ageOf(startedAt),
        detail: `${id} of ${name} is damaged: ${reason}`,
      })),
      ...failed.map(({ backup, at, reason }) => ({
        kind: 'damaged' as const,
        database: backup.database,
        ageMs: ageOf(backup.startedAt),
        detail: `${backup.id} of ${backup.database} was not whole when it was verified at ${at.toISOString()}: ${reason}`,
      })),
      ...future.map(({ id, database: name }) => ({
        kind: 'from the future' as const,
        database: name,
        ageMs: undefined,
        detail: `${id} of ${name} is from the future: the clock of this machine is wrong, or that of its maker was; it does not count`,
      })),
    ];
    const wal = options.rpoMs === undefined ? undefined : await walState(options);
    return {
      store: store.name,
      maxAgeMs,
      maxVerifiedAgeMs,
      databases,
      problems,
      wal,
      isFine: problems.length === 0 && (wal === undefined || wal.problems.length === 0),
    };
  });
}

function problemsOf(
  { database, newest, verified }: CheckedDatabase,
  limits: { readonly maxAgeMs: number; readonly maxVerifiedAgeMs: number },
): readonly CheckProblem[] {
  if (newest === null) {
    const detail = `${database} has no backup that can be used`;
    return [{ kind: 'no backup', database, ageMs: undefined, detail }];
  }
  return [
    ...(newest.ageMs > limits.maxAgeMs
      ? [
          {
            kind: 'too old' as const,
            database,
            ageMs: newest.ageMs,
            detail: `the newest backup of ${database}, ${newest.id}, is too old`,
          },
        ]
      : []),
    ...(verified === null || verified.ageMs > limits.maxVerifiedAgeMs
      ? [
          {
            kind: 'not verified' as const,
            database,
            ageMs: verified?.ageMs,
            detail:
              verified === null
                ? `no backup of ${database} was ever verified`
                : `a backup of ${database} was last verified too long ago, ${verified.id}`,
          },
        ]
      : []),
  ];
}
