import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import { compareVersions, type Version } from '../ledger/version.ts';
import { CryptosenseDbError, type Problem } from '../runtime/errors.ts';
import type { Direction } from '../runtime/progress.ts';
import type { MigrationPair } from './source.ts';

/**
 * - `applied`: recorded, and the files are what was recorded
 * - `pending`: to be applied by the next `migrate up`
 * - `out of order`: pending, and older than the newest applied one
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

/** Where one version stands: what the folders hold of it, and what the database records. */
export interface MigrationStatus {
  readonly version: Version;
  readonly description: string;
  readonly state: MigrationState;
  readonly pair: MigrationPair | undefined;
  readonly entry: LedgerEntry | undefined;
  /** The direction that was interrupted. */
  readonly interrupted: Direction | undefined;
}

/** Files and history side by side, in order of version. */
export function compareWithLedger(
  pairs: readonly MigrationPair[],
  { entries, journal }: Pick<Ledger, 'entries' | 'journal'>,
): readonly MigrationStatus[] {
  const pairOf = new Map(pairs.map((pair) => [pair.version, pair]));
  const entryOf = new Map(entries.map((entry) => [entry.version, entry]));
  const interruptedOf = new Map(journal.map(({ version, direction }) => [version, direction]));
  const begun = journal.filter(({ direction }) => direction === 'up');
  const newest = [...entries, ...begun]
    .map(({ version }) => version)
    .sort(compareVersions)
    .at(-1);
  const versions = [...new Set([...pairOf.keys(), ...entryOf.keys(), ...interruptedOf.keys()])];

  return versions.sort(compareVersions).map((version) => {
    const pair = pairOf.get(version);
    const entry = entryOf.get(version);
    const interrupted = interruptedOf.get(version);
    const description = pair?.description ?? entry?.description ?? '';
    const state = interrupted
      ? 'interrupted'
      : stateOf({ pair, entry, version, newest: newest ?? '' });
    return { version, description, state, pair, entry, interrupted };
  });
}

interface Seen {
  readonly pair: MigrationPair | undefined;
  readonly entry: LedgerEntry | undefined;
  readonly version: Version;
  readonly newest: Version;
}

function stateOf({ pair, entry, version, newest }: Seen): MigrationState {
  if (!entry) return compareVersions(version, newest) < 0 ? 'out of order' : 'pending';
  if (!pair) return 'missing';
  return differences(pair, entry).length === 0 ? 'applied' : 'changed';
}

type Part = 'migration' | 'rollback' | 'name';

function differences(pair: MigrationPair, entry: LedgerEntry): readonly Part[] {
  const parts: Part[] = [];
  if (pair.migration.checksum !== entry.checksum) parts.push('migration');
  if (pair.rollback.checksum !== entry.rollbackChecksum) parts.push('rollback');
  if (pair.description !== entry.description) parts.push('name');
  return parts;
}

/** How far to go: to a version, by a number of steps, or all the way. */
export type Extent =
  | { readonly kind: 'to'; readonly version: Version }
  | { readonly kind: 'steps'; readonly count: number }
  | { readonly kind: 'all' };

export interface UpRequest {
  readonly extent: Extent;
  /** Apply pending migrations that are older than the newest applied one. */
  readonly outOfOrder: 'refuse' | 'allow';
}

/**
 * The migrations to apply, oldest first; none when all are applied.
 * Throws `unknown-version`, and `history-mismatch` with everything that stands in the way.
 */
export function planUp(
  statuses: readonly MigrationStatus[],
  { extent, outOfOrder }: UpRequest,
): readonly MigrationPair[] {
  if (extent.kind === 'to') requireKnown(statuses, extent.version);
  const open = statuses.filter(({ entry, pair }) => !entry && pair);
  const chosen = choose(open, extent, (version, to) => compareVersions(version, to) <= 0);
  const refused = statuses.filter((status) => {
    if (status.state === 'out of order') return outOfOrder === 'refuse' && chosen.includes(status);
    if (status.state === 'interrupted') return status.interrupted === 'down' || !status.pair;
    return status.state === 'changed' || status.state === 'missing';
  });
  refuse(refused, statuses);
  return chosen.flatMap(({ pair }) => pair ?? []);
}

/**
 * The migrations to roll back, newest first; none when nothing is applied. A missing file is no
 * hindrance, since the rollback was recorded.
 * Throws `unknown-version`, and `history-mismatch` with everything that stands in the way.
 */
export function planDown(
  statuses: readonly MigrationStatus[],
  extent: Extent,
): readonly LedgerEntry[] {
  if (extent.kind === 'to') requireKnown(statuses, extent.version);
  const applied = statuses.filter(({ entry }) => entry).reverse();
  const chosen = choose(applied, extent, (version, to) => compareVersions(version, to) > 0);
  const refused = statuses.filter(
    (status) =>
      (status.state === 'changed' && chosen.includes(status)) || status.interrupted === 'up',
  );
  refuse(refused, statuses);
  return chosen.flatMap(({ entry }) => entry ?? []);
}

/**
 * The newest applied migrations, newest first, to be rolled back as recorded and applied again
 * from their files: the way to try an edited file, so a changed one is welcome.
 * Throws `history-mismatch` when a file is missing.
 */
export function planRedo(
  statuses: readonly MigrationStatus[],
  count: number,
): readonly { readonly entry: LedgerEntry; readonly pair: MigrationPair }[] {
  const applied = statuses.filter(({ entry }) => entry).reverse();
  const chosen = choose(applied, { kind: 'steps', count }, () => false);
  refuse(
    statuses.filter(
      (status) => (chosen.includes(status) && !status.pair) || status.interrupted === 'up',
    ),
    statuses,
  );
  return chosen.flatMap(({ entry, pair }) => (entry && pair ? { entry, pair } : []));
}

/** What to repair; every record that differs from the files when no versions are named. */
export interface RepairRequest {
  readonly versions: readonly Version[];
  readonly forget: readonly Version[];
}

/** A record, and the files that it is to be brought in line with. */
export interface Repair {
  readonly recorded: Version;
  readonly pair: MigrationPair;
}

/**
 * The records to bring in line with changed and renamed files, in order of version.
 * Throws `unknown-version` for one that is not recorded, and `history-mismatch` where there is
 * nothing to bring it in line with.
 */
export function planRepair(
  statuses: readonly MigrationStatus[],
  { versions, forget }: RepairRequest,
): readonly Repair[] {
  const recorded = statuses.filter(({ entry, interrupted }) => entry || interrupted);
  for (const version of [...versions, ...forget]) requireKnown(recorded, version);
  const isAll = versions.length + forget.length === 0;
  const chosen = recorded
    .filter(({ version }) => isAll || versions.includes(version))
    .filter(({ version }) => !forget.includes(version));
  const isBeyondRepair = (status: MigrationStatus) =>
    status.state === 'interrupted'
      ? versions.includes(status.version)
      : status.state === 'missing' && repairOf(status, statuses).length === 0;
  refuse(chosen.filter(isBeyondRepair), statuses);
  return chosen.flatMap((status) => repairOf(status, statuses));
}

function repairOf(
  { version, state, pair, entry }: MigrationStatus,
  statuses: readonly MigrationStatus[],
): readonly Repair[] {
  if (!entry) return [];
  if (state === 'changed' && pair) return [{ recorded: version, pair }];
  const renamed = state === 'missing' ? findRenamed(entry, statuses) : undefined;
  return renamed ? [{ recorded: version, pair: renamed }] : [];
}

function choose(
  statuses: readonly MigrationStatus[],
  extent: Extent,
  isWithin: (version: Version, to: Version) => boolean,
): readonly MigrationStatus[] {
  switch (extent.kind) {
    case 'all':
      return statuses;
    case 'steps':
      return statuses.slice(0, extent.count);
    case 'to':
      return statuses.filter(({ version }) => isWithin(version, extent.version));
    default:
      return extent satisfies never;
  }
}

/** Throws `unknown-version` unless the files or the history know the version. */
export function requireKnown(statuses: readonly MigrationStatus[], version: Version): void {
  if (statuses.some((status) => status.version === version)) return;
  throw new CryptosenseDbError(
    'unknown-version',
    {
      message: `there is no migration ${version}`,
      evidence: ['neither the files nor the history of the database know it'],
      hint: 'list them with: cryptosense-db migrate status',
    },
    { details: { version } },
  );
}

function refuse(refused: readonly MigrationStatus[], statuses: readonly MigrationStatus[]): void {
  if (refused.length === 0) return;
  throw new CryptosenseDbError(
    'history-mismatch',
    refused.map((status) => describeMismatch(status, statuses)),
    { details: { versions: refused.map(({ version }) => version) } },
  );
}

/** What is wrong with a version, and what to do about it. */
export function describeMismatch(
  status: MigrationStatus,
  statuses: readonly MigrationStatus[],
): Problem {
  const { version, description, pair, entry, interrupted, state } = status;
  const name = pair?.migration.name ?? (description ? `${version}_${description}.sql` : version);
  if (interrupted) return describeInterrupted({ name, version, interrupted, isThere: !!pair });
  if (entry && pair && state === 'changed') return describeChanged(pair, entry);
  if (entry) return describeMissing({ name, entry, statuses });
  const newest = statuses.findLast((other) => other.entry ?? other.interrupted)?.version;
  return {
    message: `${name} is older than the newest applied migration`,
    evidence: [`newest applied  ${newest}`],
    hint: 'apply it all the same with --allow-out-of-order, or give it a later stamp',
  };
}

function describeInterrupted({
  name,
  version,
  interrupted,
  isThere,
}: {
  readonly name: string;
  readonly version: Version;
  readonly interrupted: Direction;
  /** Its files are. */
  readonly isThere: boolean;
}): Problem {
  const way = interrupted === 'up' ? 'applied' : 'rolled back';
  const goOn = isThere
    ? `go on with: cryptosense-db migrate ${interrupted}`
    : 'restore its files, under the stamp that they had';
  return {
    message: `${name} is ${way} in part`,
    hint: `${goOn}; or, once the schema is put right by hand: cryptosense-db migrate repair --forget ${version}`,
  };
}

function describeChanged(pair: MigrationPair, entry: LedgerEntry): Problem {
  const parts = differences(pair, entry);
  const when = `at ${minute(entry.appliedAt)} by ${entry.appliedBy}`;
  const hint = `restore the file, or record the new text with: cryptosense-db migrate repair ${pair.version}`;
  if (parts.includes('migration')) {
    return {
      message: `${pair.migration.name} changed after it was applied`,
      evidence: [
        `recorded ${short(entry.checksum)}  ${when}`,
        `on disk  ${short(pair.migration.checksum)}`,
      ],
      hint,
    };
  }
  if (parts.includes('rollback')) {
    return {
      message: `${pair.rollback.name} changed after its migration was applied`,
      evidence: [
        `recorded ${short(entry.rollbackChecksum)}  ${when}`,
        `on disk  ${short(pair.rollback.checksum)}`,
      ],
      hint,
    };
  }
  return {
    message: `${pair.migration.name} was renamed after it was applied`,
    evidence: [`recorded ${entry.version}_${entry.description}.sql  ${when}`],
    hint: `restore the name, or record the new one with: cryptosense-db migrate repair ${pair.version}`,
  };
}

function describeMissing({
  name,
  entry,
  statuses,
}: {
  readonly name: string;
  readonly entry: LedgerEntry;
  readonly statuses: readonly MigrationStatus[];
}): Problem {
  const { version } = entry;
  const renamed = findRenamed(entry, statuses);
  const applied = `applied at ${minute(entry.appliedAt)} by ${entry.appliedBy}`;
  if (renamed) {
    return {
      message: `${name} was given another stamp after it was applied`,
      evidence: [applied, `on disk  ${renamed.migration.name}, the same text`],
      hint: `restore the name, or record the new one with: cryptosense-db migrate repair ${version}`,
    };
  }
  return {
    message: `${name} is applied, but its files are gone`,
    evidence: [applied],
    hint: `restore the files, roll it back with: cryptosense-db migrate down, or drop its record with: cryptosense-db migrate repair --forget ${version}`,
  };
}

/** The pending pair that holds the same migration under another stamp, where only one can be meant. */
export function findRenamed(
  { checksum }: LedgerEntry,
  statuses: readonly MigrationStatus[],
): MigrationPair | undefined {
  const gone = statuses.filter(({ pair, entry }) => !pair && entry?.checksum === checksum);
  const [found, ...others] = statuses.filter(
    ({ pair, entry }) => !entry && pair?.migration.checksum === checksum,
  );
  return gone.length === 1 && others.length === 0 ? found?.pair : undefined;
}

/** `2026-11-20 14:02 UTC` */
function minute(date: Date): string {
  return `${date.toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

function short(checksum: string): string {
  return `${checksum.slice(0, 6)}…`;
}
