import type { JournalEntry, Ledger, LedgerEntry } from '../ledger/ledger.ts';
import { compareVersions, type Version } from '../ledger/version.ts';
import type { Direction } from '../runtime/progress.ts';
import type { MigrationPair } from './source.ts';

/**
 * - `applied`: recorded, and the files are as recorded
 * - `pending`: the next `migrate up` applies it
 * - `out of order`: pending, and older than the newest applied migration
 * - `changed`: recorded, but migration, rollback or name differ from the files
 * - `missing`: recorded, but the files are gone
 * - `interrupted`: a file without a transaction that ran in part
 */
export type MigrationState =
  | 'applied'
  | 'pending'
  | 'out of order'
  | 'changed'
  | 'missing'
  | 'interrupted';

/** The state of one version: its files, and what the database records. */
export interface MigrationStatus {
  readonly version: Version;
  readonly description: string;
  readonly state: MigrationState;
  readonly pair: MigrationPair | undefined;
  readonly entry: LedgerEntry | undefined;
  /** The direction that was interrupted. */
  readonly interrupted: Direction | undefined;
  readonly interruption: Interruption | undefined;
}

/** How far a file without a transaction has run. */
export interface Interruption {
  readonly direction: Direction;
  /** How many of its statements have finished. */
  readonly finished: number;
  /** The statement that has started and not finished; undefined for a run that stopped between two statements. */
  readonly started: { readonly statement: number; readonly at: Date } | undefined;
}

/** The status of every version that the files or the ledger know, in order of version. */
export function compareWithLedger(
  pairs: readonly MigrationPair[],
  { entries, journal }: Pick<Ledger, 'entries' | 'journal'>,
): readonly MigrationStatus[] {
  const pairOf = new Map(pairs.map((pair) => [pair.version, pair]));
  const entryOf = new Map(entries.map((entry) => [entry.version, entry]));
  const interruptedOf = new Map(
    journal.map(({ version }) => [version, describe(journal, version)]),
  );
  const begun = journal.filter(({ direction }) => direction === 'up');
  const newest = [...entries, ...begun]
    .map(({ version }) => version)
    .sort(compareVersions)
    .at(-1);
  const versions = [...new Set([...pairOf.keys(), ...entryOf.keys(), ...interruptedOf.keys()])];

  return versions.sort(compareVersions).map((version) => {
    const pair = pairOf.get(version);
    const entry = entryOf.get(version);
    const interruption = interruptedOf.get(version);
    const interrupted = interruption?.direction;
    const description = pair?.description ?? entry?.description ?? '';
    const state = interrupted
      ? 'interrupted'
      : stateOf({ pair, entry, version, newest: newest ?? '' });
    return { version, description, state, pair, entry, interrupted, interruption };
  });
}

function describe(journal: readonly JournalEntry[], version: Version): Interruption | undefined {
  const entries = journal.filter((entry) => entry.version === version);
  const [first] = entries;
  const open = entries.find(({ isFinished }) => !isFinished);
  return (
    first && {
      direction: first.direction,
      finished: entries.filter(({ isFinished }) => isFinished).length,
      started: open && { statement: open.position + 1, at: open.startedAt },
    }
  );
}

interface Known {
  readonly pair: MigrationPair | undefined;
  readonly entry: LedgerEntry | undefined;
  readonly version: Version;
  readonly newest: Version;
}

function stateOf({ pair, entry, version, newest }: Known): MigrationState {
  if (!entry) return compareVersions(version, newest) < 0 ? 'out of order' : 'pending';
  if (!pair) return 'missing';
  return findDifference(pair, entry) === undefined ? 'applied' : 'changed';
}

/** The first part of a pair that differs from its record. */
export function findDifference(
  { up, down, description }: MigrationPair,
  entry: LedgerEntry,
): 'up' | 'down' | 'description' | undefined {
  if (up.checksum !== entry.checksum) return 'up';
  if (down.checksum !== entry.rollbackChecksum) return 'down';
  return description === entry.description.normalize() ? undefined : 'description';
}

/**
 * The pending pair with the same migration under another stamp. undefined if there are several such
 * pairs, or if several records without files have that migration.
 */
export function findRenamed(
  { checksum }: LedgerEntry,
  statuses: readonly MigrationStatus[],
): MigrationPair | undefined {
  const gone = statuses.filter(({ pair, entry }) => !pair && entry?.checksum === checksum);
  const [found, ...others] = statuses.filter(
    ({ pair, entry }) => !entry && pair?.up.checksum === checksum,
  );
  return gone.length === 1 && others.length === 0 ? found?.pair : undefined;
}
