import type { LedgerEntry } from '../ledger/ledger.ts';
import { compareVersions, type Version } from '../ledger/version.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import { describeMismatch } from './mismatch.ts';
import type { MigrationPair } from './source.ts';
import { findRenamed, type MigrationStatus } from './status.ts';

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
 * The migrations to apply, oldest first; none if all are applied.
 * Throws `unknown-version`, and `history-mismatch` with every status that forbids it.
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
 * The migrations to roll back, newest first; none if nothing is applied. A missing file does not
 * matter, since the ledger records the rollback.
 * Throws `unknown-version`, and `history-mismatch` with every status that forbids it.
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
 * The newest applied migrations, newest first: to be rolled back as recorded, and applied again
 * from their files. A changed file is allowed, since a redo tries an edited file.
 * Throws `history-mismatch` for a missing file.
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

/** What to repair: every record that differs from the files, if no version is named. */
export interface RepairRequest {
  readonly versions: readonly Version[];
  readonly forget: readonly Version[];
  /** Versions whose interrupted statement is to be settled. */
  readonly settle: readonly Version[];
}

/** A record, and the files whose state it shall have. */
export interface Repair {
  readonly recorded: Version;
  readonly pair: MigrationPair;
}

/**
 * The records that differ from changed and renamed files, in order of version.
 * Throws `unknown-version` for a version that is not recorded, and `history-mismatch` for one
 * without files.
 */
export function planRepair(
  statuses: readonly MigrationStatus[],
  { versions, forget, settle }: RepairRequest,
): readonly Repair[] {
  const recorded = statuses.filter(({ entry, interrupted }) => entry || interrupted);
  for (const version of [...versions, ...forget]) {
    requireKnown(recorded, version, 'the history of the database has no record of it');
  }
  const stopped = statuses.filter(({ interruption }) => interruption?.started !== undefined);
  for (const version of settle) {
    requireKnown(stopped, version, 'no statement of it was interrupted');
  }
  const isAll = versions.length + forget.length + settle.length === 0;
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

/** Throws `unknown-version`, with the evidence, for a version that is not among the statuses. */
export function requireKnown(
  statuses: readonly MigrationStatus[],
  version: Version,
  evidence = 'neither the files nor the history of the database have it',
): void {
  if (statuses.some((status) => status.version === version)) return;
  throw new CryptosenseDbError(
    'unknown-version',
    {
      message: `there is no migration ${version}`,
      evidence: [evidence],
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
