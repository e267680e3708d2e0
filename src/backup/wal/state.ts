import { isError } from '../../runtime/errors.ts';
import { defaultWalDays, readRepository, type WalListOptions } from './list.ts';
import { requirePgBackRest } from './pgbackrest.ts';
import type { ArchivedSegment, WalGap, Window } from './segments.ts';
import {
  type ArchiverState,
  readArchiver,
  refuseManaged,
  type ServerOptions,
  withServer,
} from './server.ts';
import { findStanza } from './stanza.ts';

const defaultRpoMs = 3_600_000;

export interface WalStateOptions extends Omit<WalListOptions, 'keep'>, ServerOptions {
  /** How much may be lost at most, as a time. Default: an hour. */
  readonly rpoMs?: number | undefined;
}

/** What is wrong with the WAL. */
export type WalProblem =
  | { readonly kind: 'no-wal' }
  | { readonly kind: 'old-wal'; readonly lossMs: number; readonly rpoMs: number }
  | { readonly kind: 'gap'; readonly gap: WalGap }
  | { readonly kind: 'archiving-off' }
  | { readonly kind: 'archiver-failing'; readonly segment: string; readonly since: Date }
  /** The server has archived it, and the repository does not have it. */
  | { readonly kind: 'not-in-repository'; readonly segment: string };

export interface WalState {
  /** Of the repository; undefined where it has none, or was not read. */
  readonly newest: ArchivedSegment | undefined;
  readonly windows: readonly Window[];
  readonly gaps: readonly WalGap[];
  /** undefined: no server was named. */
  readonly archiver: ArchiverState | undefined;
  /** Why the repository was not read: the facts are the server's alone then. */
  readonly unread: string | undefined;
  /** What would be lost if the server were lost now; undefined where nothing is archived. */
  readonly lossMs: number | undefined;
  /** Empty: all is well. */
  readonly problems: readonly WalProblem[];
}

/**
 * Whether the WAL is archived in time and in whole, by the repository, and by the server where one is named. On a
 * machine without pgBackRest the server alone is asked. Changes nothing, and runs on a standby.
 * Throws `wal-unavailable` for a managed service, and what the repository throws where no server is named.
 */
export async function walState(options: WalStateOptions): Promise<WalState> {
  const { target, rpoMs = defaultRpoMs, walDays = defaultWalDays, signal, onProgress } = options;
  await refuseManaged(options);
  const archiver =
    target === undefined
      ? undefined
      : await withServer({ target, signal, onProgress }, readArchiver);
  const readAll = async () => {
    await requirePgBackRest({ signal });
    return readRepository(findStanza(options), { signal, onProgress, walDays });
  };
  const repository = await readAll().catch((error: unknown) => unreadOr(error, archiver));
  const { wal, unread } =
    'unread' in repository
      ? { ...repository, wal: undefined }
      : { ...repository, unread: undefined };
  const newestAt = wal ? wal.last?.at : archiver?.lastArchivedAt;
  const facts = {
    newest: wal?.last,
    windows: wal?.windows ?? [],
    gaps: wal?.gaps ?? [],
    archiver,
    unread,
    lossMs: newestAt && lossOf(newestAt, { archiver, now: Date.now() }),
  };
  return { ...facts, problems: findProblems(facts, { rpoMs, isRead: wal !== undefined }) };
}

/** The repository may be out of reach while the server answers. */
function unreadOr(
  error: unknown,
  archiver: ArchiverState | undefined,
): { readonly unread: string } {
  const isFine = isError(error) && error.code !== 'interrupted' && archiver !== undefined;
  if (!isFine) throw error;
  return { unread: error.problems[0]?.message ?? error.message };
}

/**
 * The age of the newest segment. A server that writes nothing archives nothing: where all but the segment at hand is
 * archived, and `archive_timeout` is set, the server has kept back less than that time.
 */
export function lossOf(
  newestAt: Date,
  { archiver, now }: { readonly archiver: ArchiverState | undefined; readonly now: number },
): number {
  const age = Math.max(0, now - newestAt.getTime());
  const isIdle = archiver?.isCaughtUp && !archiver.isFailing && archiver.timeoutMs > 0;
  return isIdle ? Math.min(age, archiver.timeoutMs) : age;
}

/** Pure: what is wrong with these facts. */
export function findProblems(
  { newest, gaps, archiver, lossMs }: Omit<WalState, 'problems'>,
  { rpoMs, isRead }: { readonly rpoMs: number; readonly isRead: boolean },
): readonly WalProblem[] {
  const problems: WalProblem[] = [];
  if (archiver?.mode === 'off') problems.push({ kind: 'archiving-off' });
  if (archiver?.isFailing) {
    const { lastFailed = '', lastFailedAt = new Date(0), lastArchivedAt } = archiver;
    problems.push({
      kind: 'archiver-failing',
      segment: lastFailed,
      since: lastArchivedAt ?? lastFailedAt,
    });
  }
  if (lossMs === undefined) problems.push({ kind: 'no-wal' });
  else if (lossMs > rpoMs) problems.push({ kind: 'old-wal', lossMs, rpoMs });
  const archived = /^[0-9A-F]{24}/.exec(archiver?.lastArchived ?? '')?.[0];
  if (isRead && archived !== undefined && archived > (newest?.name ?? '')) {
    problems.push({ kind: 'not-in-repository', segment: archived });
  }
  return [...problems, ...gaps.map((gap) => ({ kind: 'gap', gap }) as const)];
}
