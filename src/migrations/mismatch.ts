import type { LedgerEntry } from '../ledger/ledger.ts';
import { type Checksum, compareVersions } from '../ledger/version.ts';
import type { Problem } from '../runtime/errors.ts';
import type { MigrationPair } from './source.ts';
import { findDifference, findRenamed, type Interruption, type MigrationStatus } from './status.ts';

/** How the files of a version contradict the history, and what to do about it. */
export function describeMismatch(
  status: MigrationStatus,
  statuses: readonly MigrationStatus[],
): Problem {
  const { version, description, pair, entry, interruption } = status;
  const file = pair?.up.name ?? (description ? `${version}_${description}.sql` : version);
  if (interruption) {
    const newestFile = statuses.findLast((other) => other.pair)?.version;
    const isNewer = newestFile !== undefined && compareVersions(newestFile, version) < 0;
    const files = pair ? 'here' : isNewer ? 'newer' : 'gone';
    return describeInterrupted(file, { version, interruption, files });
  }
  if (entry && pair) return describeChanged(pair, entry);
  if (entry) return describeMissing(file, entry, findRenamed(entry, statuses));
  const newest = statuses.findLast((other) => other.entry ?? other.interrupted)?.version;
  return {
    message: `${file} is older than the newest applied migration`,
    evidence: [`newest applied  ${newest}`],
    hint: 'apply it with --allow-out-of-order, or give it a later stamp',
  };
}

function describeInterrupted(
  file: string,
  {
    version,
    interruption,
    files,
  }: Pick<MigrationStatus, 'version'> & {
    readonly interruption: Interruption;
    /** `newer`: no file is as new, so that a newer release is likely to have them. */
    readonly files: 'here' | 'gone' | 'newer';
  },
): Problem {
  const { direction, finished, started } = interruption;
  const resumable = files === 'here' || direction === 'down';
  const resume = resumable
    ? `resume it with: cryptosense-db migrate ${direction}`
    : files === 'newer'
      ? 'a newer release began it: finish it with the files of that release and cryptosense-db migrate up'
      : 'restore its files under their former stamp';
  return {
    message: `${file} is ${direction === 'up' ? 'applied' : 'rolled back'} in part`,
    evidence: [
      `statements that have finished: ${finished}`,
      ...(started
        ? [
            `statement ${started.statement} started ${formatMinute(started.at)}; its end is not recorded`,
          ]
        : []),
    ],
    hint: `${resume}; or repair the schema by hand, and then drop the record with: cryptosense-db migrate repair --forget ${version}`,
  };
}

function describeChanged(pair: MigrationPair, entry: LedgerEntry): Problem {
  const { version, up, down } = pair;
  const recordHint = (what: string, change: string) =>
    `restore ${what}, or record ${change} with: cryptosense-db migrate repair ${version}`;
  const when = `at ${formatMinute(entry.appliedAt)} by ${entry.appliedBy}`;
  const checksums = (recorded: Checksum, onDisk: Checksum) => [
    `recorded ${shorten(recorded)}  ${when}`,
    `on disk  ${shorten(onDisk)}`,
  ];
  switch (findDifference(pair, entry)) {
    case 'up':
      return {
        message: `${up.name} changed after it was applied`,
        evidence: checksums(entry.checksum, up.checksum),
        hint: recordHint('the file', 'the new text'),
      };
    case 'down':
      return {
        message: `${down.name} changed after its migration was applied`,
        evidence: checksums(entry.rollbackChecksum, down.checksum),
        hint: recordHint('the file', 'the new text'),
      };
    default:
      return {
        message: `${up.name} was renamed after it was applied`,
        evidence: [`recorded ${version}_${entry.description}.sql  ${when}`],
        hint: recordHint('the name', 'the new one'),
      };
  }
}

function describeMissing(
  file: string,
  { version, appliedAt, appliedBy }: LedgerEntry,
  renamed: MigrationPair | undefined,
): Problem {
  const applied = `applied at ${formatMinute(appliedAt)} by ${appliedBy}`;
  if (renamed) {
    return {
      message: `${file} got another stamp after it was applied`,
      evidence: [applied, `on disk  ${renamed.up.name}, the same text`],
      hint: `restore the name, or record the new one with: cryptosense-db migrate repair ${version}`,
    };
  }
  return {
    message: `${file} is applied, but its files are gone`,
    evidence: [applied],
    hint: `restore the files, roll it back with: cryptosense-db migrate down, or drop its record with: cryptosense-db migrate repair --forget ${version}`,
  };
}

/** `2026-11-20 14:02 UTC` */
export function formatMinute(date: Date): string {
  return `${date.toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

function shorten(checksum: Checksum): string {
  return `${checksum.slice(0, 6)}…`;
}
