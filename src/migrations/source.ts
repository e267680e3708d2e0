import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { type Checksum, compareVersions, isRealStamp, type Version } from '../ledger/version.ts';
import { CryptosenseDbError, faultyFiles, messageOf } from '../runtime/errors.ts';
import { readBytes } from '../runtime/files.ts';
import type { Fault, Finding } from '../runtime/findings.ts';
import { packagedMigrations, packagedRollbacks } from '../runtime/package.ts';
import type { Direction } from '../runtime/progress.ts';

/** A file of SQL as the tool runs it: line ends are `\n`, a byte-order mark is removed. */
export interface SqlFile {
  /** The name without its folder. */
  readonly name: string;
  readonly text: string;
  readonly checksum: Checksum;
}

/** One step of the schema: a migration (`up`) and the rollback that undoes it (`down`). */
export interface MigrationPair {
  readonly version: Version;
  readonly description: string;
  readonly up: SqlFile;
  readonly down: SqlFile;
}

export interface SourceFolders {
  readonly migrations: string;
  readonly rollbacks: string;
}

/**
 * The two folders that are given, or those of the packaged schema.
 * Throws `bad-configuration` for one folder without the other.
 */
export function resolveFolders({
  migrations,
  rollbacks,
}: {
  readonly migrations?: string | undefined;
  readonly rollbacks?: string | undefined;
}): SourceFolders {
  if ((migrations === undefined) !== (rollbacks === undefined)) {
    const [given, absent] =
      migrations === undefined ? ['rollbacks', 'migrations'] : ['migrations', 'rollbacks'];
    throw new CryptosenseDbError('bad-configuration', {
      message: `a folder of ${given} is given, but no folder of ${absent}`,
      hint: 'give both --migrations and --rollbacks, or neither for the packaged schema',
    });
  }
  return {
    migrations: migrations ?? packagedMigrations,
    rollbacks: rollbacks ?? packagedRollbacks,
  };
}

/** The name of a file, read. */
interface ParsedName {
  /** As the folder has it. A file system may decompose its characters, as some on macOS do; `description` has NFC. */
  readonly name: string;
  readonly version: Version;
  readonly description: string;
}

const nameForms = {
  up: {
    pattern: /^(\d{8}_\d{6})_(.+)\.sql$/su,
    text: 'YYYYMMDD_HHMMSS_description.sql',
  },
  down: {
    pattern: /^(\d{8}_\d{6})_(.+)_rollback\.sql$/su,
    text: 'YYYYMMDD_HHMMSS_description_rollback.sql',
  },
};

/** The name of a migration's rollback. */
export function rollbackNameOf({
  version,
  description,
}: Pick<MigrationPair, 'version' | 'description'>): string {
  return `${version}_${description}_rollback.sql`;
}

type Report = (path: string, fault: Fault) => void;

/**
 * Reads both folders, and returns the pairs in order of their versions. Reads names that end in
 * `.sql` only; skips folders, and names that start with a dot.
 * Throws `faulty-folder` with every finding in both folders.
 */
export function readMigrations(folders: SourceFolders): readonly MigrationPair[] {
  const isShared = resolve(folders.migrations) === resolve(folders.rollbacks);
  const findings: Finding[] = [];
  const report: Report = (path, fault) =>
    findings.push({ folder: dirname(path), file: basename(path), ...fault });

  const upNames = listSql(folders.migrations, report);
  const downNames = isShared ? upNames : listSql(folders.rollbacks, report);
  const isRollback = (name: string) => nameForms.down.pattern.test(name);
  const ups = parseNames(
    isShared ? upNames?.filter((name) => !isRollback(name)) : upNames,
    { direction: 'up', folder: folders.migrations },
    report,
  );
  const downs = parseNames(
    isShared ? downNames?.filter(isRollback) : downNames,
    { direction: 'down', folder: folders.rollbacks },
    report,
  );
  // Without one of the folders, every file of the other would be reported as half a pair.
  if (!upNames || !downNames) throw faultyFiles('faulty-folder', findings);

  const downOf = new Map(downs.map((down) => [down.version, down]));
  const versions = new Set(ups.map(({ version }) => version));
  for (const { name, version } of downs) {
    if (versions.has(version)) continue;
    const path = join(folders.rollbacks, name);
    report(path, { rule: 'missing-migration' });
    readSql(path, report);
  }

  const pairs = ups.flatMap(({ name, version, description }): MigrationPair[] => {
    const path = join(folders.migrations, name);
    const expected = rollbackNameOf({ version, description });
    const rollback = downOf.get(version);
    const rollbackPath = join(folders.rollbacks, rollback?.name ?? expected);
    if (!rollback) report(path, { rule: 'missing-rollback', expected: rollbackPath });
    else if (rollback.name.normalize() !== expected)
      report(rollbackPath, { rule: 'other-name', expected });
    const up = readSql(path, report);
    const down = rollback && readSql(rollbackPath, report);
    return up && down ? [{ version, description, up, down }] : [];
  });

  if (findings.length > 0) throw faultyFiles('faulty-folder', findings);
  return pairs;
}

/** The file that a text makes. */
export function sqlFile(name: string, text: string): SqlFile {
  const normal = normalise(text);
  return { name, text: normal, checksum: createHash('sha256').update(normal).digest('hex') };
}

/** The checksum of a text. Line ends and a byte-order mark make no difference. */
export function checksumOf(text: string): Checksum {
  return createHash('sha256').update(normalise(text)).digest('hex');
}

/** undefined for a folder that cannot be read, which is reported. */
function listSql(folder: string, report: Report): string[] | undefined {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => !entry.isDirectory() && !entry.name.startsWith('.'))
      .map(({ name }) => name)
      .filter((name) => /\.sql$/i.test(name))
      .sort(compareVersions);
  } catch (error) {
    report(folder, { rule: 'unreadable-folder', of: 'migrations', reason: messageOf(error) });
    return undefined;
  }
}

/** Reports names that break a rule; of two names with one stamp, keeps the first. */
function parseNames(
  names: readonly string[] = [],
  { direction, folder }: { readonly direction: Direction; readonly folder: string },
  report: Report,
): readonly ParsedName[] {
  const { pattern, text: expected } = nameForms[direction];
  const byVersion = new Map<Version, ParsedName>();
  for (const name of names) {
    const path = join(folder, name);
    const [, version, description] = pattern.exec(name.normalize()) ?? [];
    if (version === undefined || description === undefined) {
      report(path, { rule: 'bad-name', expected });
      continue;
    }
    if (direction === 'up' && nameForms.down.pattern.test(name)) {
      report(path, { rule: 'misplaced-rollback' });
      continue;
    }
    if (!isRealStamp(version)) {
      report(path, { rule: 'impossible-date', stamp: version });
      continue;
    }
    const twin = byVersion.get(version);
    if (twin) {
      report(path, { rule: 'same-stamp', other: twin.name });
      continue;
    }
    byVersion.set(version, { name, version, description });
  }
  return [...byVersion.values()];
}

/** undefined for a file whose text PostgreSQL cannot take, which is reported. */
function readSql(path: string, report: Report): SqlFile | undefined {
  let bytes: Uint8Array;
  try {
    bytes = readBytes(path);
  } catch (error) {
    report(path, { rule: 'unreadable-file', reason: messageOf(error) });
    return undefined;
  }
  const text = decodeUtf8(bytes);
  const rule = brokenRule(text);
  if (rule) report(path, { rule });
  return text === undefined || rule ? undefined : sqlFile(basename(path).normalize(), text);
}

function brokenRule(text: string | undefined): 'not-utf8' | 'nul-character' | 'empty' | undefined {
  if (text === undefined) return 'not-utf8';
  if (text.includes('\0')) return 'nul-character';
  return text.trim() === '' ? 'empty' : undefined;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
}

function normalise(text: string): string {
  return text.replace(/^\uFEFF/, '').replaceAll(/\r\n?/g, '\n');
}
