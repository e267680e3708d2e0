import type { RunOptions } from '../../ledger/run.ts';
import { defaultKeep, type Keep } from '../retention.ts';
import {
  type CommandOptions,
  listArchive,
  type PhysicalBackup,
  type RepositoryInfo,
  readInfo,
  requirePgBackRest,
} from './pgbackrest.ts';
import { type PhysicalRule, retainPhysical } from './retention.ts';
import {
  type ArchivedSegment,
  findGaps,
  type NeededRange,
  type WalGap,
  type Window,
  windowsOf,
} from './segments.ts';
import { findStanza, type Stanza, type StanzaOptions } from './stanza.ts';

export const defaultWalDays = 7;

export interface WalListOptions extends StanzaOptions, Pick<RunOptions, 'onProgress' | 'signal'> {
  /** Of full backups. Default: 7 days, 4 weeks, 12 months. */
  readonly keep?: Keep | undefined;
  /** For how many days back every moment can be restored. Default 7. */
  readonly walDays?: number | undefined;
}

export interface ListedBackup extends PhysicalBackup {
  /** Empty: the next `run` drops it. */
  readonly rules: readonly PhysicalRule[];
}

export interface WalList {
  readonly stanza: string;
  /** A folder, or `s3://bucket/prefix`. */
  readonly repository: string;
  /** The oldest first. */
  readonly backups: readonly ListedBackup[];
  readonly wal: ArchiveState;
}

export interface ArchiveState {
  /** The id of the archive; undefined before its first segment. */
  readonly archive: string | undefined;
  readonly segments: number;
  readonly bytes: number;
  readonly first: ArchivedSegment | undefined;
  readonly last: ArchivedSegment | undefined;
  readonly gaps: readonly WalGap[];
  /** The moments that can be restored, in order. */
  readonly windows: readonly Window[];
}

/**
 * The physical backups, the WAL behind them, and its gaps: `pgbackrest verify` does not miss a segment that is not
 * there. Changes nothing. Throws `program-missing`, `program-failed`, `bad-configuration`, `file-problem`.
 */
export async function list(options: WalListOptions): Promise<WalList> {
  const { keep = defaultKeep, walDays = defaultWalDays } = options;
  await requirePgBackRest(options);
  const stanza = findStanza(options);
  const { info, wal } = await readRepository(stanza, { ...options, walDays });
  const { kept } = retainPhysical(info.backups, { keep, walDays, now: new Date() });
  return {
    stanza: stanza.name,
    repository: stanza.repository,
    backups: info.backups.map((backup) => ({
      ...backup,
      rules: kept.find((each) => each.backup === backup)?.rules ?? [],
    })),
    wal,
  };
}

export interface RepositoryState {
  readonly info: RepositoryInfo;
  readonly segments: readonly ArchivedSegment[];
  readonly wal: ArchiveState;
}

/** What the repository of the server has. */
export async function readRepository(
  stanza: Stanza,
  { walDays, ...options }: CommandOptions & { readonly walDays: number },
): Promise<RepositoryState> {
  const info = await readInfo(stanza, options);
  const { archive, segmentBytes } = info;
  const segments = await listArchive(stanza, { ...options, archive });
  const backups = info.backups.filter((backup) => backup.archive === archive);
  const needed = neededOf(backups, { walDays, now: new Date() });
  const byTime = segments.toSorted((one, other) => one.at.getTime() - other.at.getTime());
  return {
    info,
    segments,
    wal: {
      archive,
      segments: segments.length,
      bytes: segments.reduce((sum, { bytes }) => sum + bytes, 0),
      first: byTime[0],
      last: byTime.at(-1),
      gaps: findGaps(segments, { needed, segmentBytes }),
      windows: windowsOf(
        backups.map(({ wal, stoppedAt }) => ({ ...wal, stoppedAt })),
        { segments, segmentBytes },
      ),
    },
  };
}

/** The WAL that a backup was made in, and all WAL from the backup on that the days of WAL begin with. */
function neededOf(
  backups: readonly PhysicalBackup[],
  { walDays, now }: { readonly walDays: number; readonly now: Date },
): readonly NeededRange[] {
  const { base } = retainPhysical(backups, { keep: defaultKeep, walDays, now });
  if (!base) return [];
  return [
    ...backups
      .filter(({ stoppedAt }) => stoppedAt.getTime() < base.stoppedAt.getTime())
      .map(({ wal }) => ({ from: wal.start, to: wal.stop })),
    { from: base.wal.start, to: undefined },
  ];
}
