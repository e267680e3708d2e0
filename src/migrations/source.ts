import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Checksum, compareVersions, isRealStamp, type Version } from '../ledger/version.ts';
import { CryptosenseDbError, type Problem } from '../runtime/errors.ts';
import { packagedMigrations, packagedRollbacks } from '../runtime/package.ts';

/** A file of SQL as the tool runs it: line ends are `\n`, a byte-order mark is gone. */
export interface SqlFile {
  /** The name without its folder. */
  readonly name: string;
  readonly text: string;
  readonly checksum: Checksum;
}

/** One step of the schema: a migration and the rollback that undoes it. */
export interface MigrationPair {
  readonly version: Version;
  readonly description: string;
  readonly migration: SqlFile;
  readonly rollback: SqlFile;
}

/** A file as one of the two that make a pair. */
export interface ScriptFile {
  readonly file: SqlFile;
  readonly kind: 'migration' | 'rollback';
}

/** Both files of each pair. */
export function filesOf(pairs: readonly MigrationPair[]): readonly ScriptFile[] {
  return pairs.flatMap(({ migration, rollback }): ScriptFile[] => [
    { file: migration, kind: 'migration' },
    { file: rollback, kind: 'rollback' },
  ]);
}

export interface SourceFolders {
  readonly migrations: string;
  readonly rollbacks: string;
}

/**
 * Both folders as they are named, or those of the packaged schema.
 * Throws `bad-configuration` when one is named without the other.
 */
export function resolveFolders({
  migrations,
  rollbacks,
}: {
  readonly migrations?: string | undefined;
  readonly rollbacks?: string | undefined;
}): SourceFolders {
  if ((migrations === undefined) !== (rollbacks === undefined)) {
    throw new CryptosenseDbError('bad-configuration', {
      message: 'one of the two folders is named, the other is not',
      hint: 'give both --migrations and --rollbacks, or neither for the packaged schema',
    });
  }
  return {
    migrations: migrations ?? packagedMigrations,
    rollbacks: rollbacks ?? packagedRollbacks,
  };
}

interface NamedFile {
  readonly name: string;
  readonly version: Version;
  readonly description: string;
}

const migrationName = /^(\d{8}_\d{6})_(.+)\.sql$/su;
const rollbackName = /^(\d{8}_\d{6})_(.+)_rollback\.sql$/su;

/**
 * Reads both folders: the pairs in order of their versions. Only names that end in `.sql` count;
 * names that start with a dot, and folders, are passed over.
 * Throws `faulty-folder` with every fault of both folders at once.
 */
export function readMigrations(folders: SourceFolders): readonly MigrationPair[] {
  const isShared = resolve(folders.migrations) === resolve(folders.rollbacks);
  const problems: Problem[] = [];
  const report = (problem: Problem) => problems.push(problem);

  const up = listSql(folders.migrations, report);
  const down = isShared ? up : listSql(folders.rollbacks, report);
  const migrations = named(
    isShared ? up?.filter((name) => !rollbackName.test(name)) : up,
    { kind: 'migration', folder: folders.migrations },
    report,
  );
  const rollbacks = named(
    isShared ? down?.filter((name) => rollbackName.test(name)) : down,
    { kind: 'rollback', folder: folders.rollbacks },
    report,
  );
  // Without one of the folders, every file of the other would be reported as half a pair.
  if (!up || !down) throw new CryptosenseDbError('faulty-folder', problems);

  const rollbackOf = new Map(rollbacks.map((file) => [file.version, file]));
  const versions = new Set(migrations.map(({ version }) => version));
  for (const { name, version } of rollbacks) {
    if (versions.has(version)) continue;
    report({ message: `${name} rolls back a migration that is not there` });
    readSql(folders.rollbacks, name, report);
  }

  const pairs = migrations.flatMap((file): MigrationPair[] => {
    const { name, version, description } = file;
    const rollback = rollbackOf.get(version);
    const expected = `${version}_${description}_rollback.sql`;
    if (!rollback) {
      report({
        message: `${name} has no rollback`,
        hint: `add ${join(folders.rollbacks, expected)}; where there is no way back it says "-- Irreversible: <why>"`,
      });
      readSql(folders.migrations, name, report);
      return [];
    }
    if (rollback.name !== expected) {
      report({ message: `${rollback.name} is not the rollback of ${name}, but has its stamp` });
    }
    const text = readSql(folders.migrations, name, report);
    const rollbackText = readSql(folders.rollbacks, rollback.name, report);
    return text && rollbackText
      ? [{ version, description, migration: text, rollback: rollbackText }]
      : [];
  });

  if (problems.length > 0) throw new CryptosenseDbError('faulty-folder', problems);
  return pairs;
}

/** A text as a file. */
export function sqlFile(name: string, text: string): SqlFile {
  const normal = normalise(text);
  return { name, text: normal, checksum: createHash('sha256').update(normal).digest('hex') };
}

/** The checksum of a text, whatever its line ends and with or without a byte-order mark. */
export function checksumOf(text: string): Checksum {
  return createHash('sha256').update(normalise(text)).digest('hex');
}

type Report = (problem: Problem) => void;

/** undefined when the folder cannot be read, which is reported. */
function listSql(folder: string, report: Report): string[] | undefined {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => !entry.isDirectory() && !entry.name.startsWith('.'))
      .map(({ name }) => name)
      .filter((name) => /\.sql$/i.test(name))
      .sort(compareVersions);
  } catch (error) {
    report({
      message: `the folder ${folder} cannot be read`,
      evidence: [String(error)],
      hint: 'make it, or name another with --migrations and --rollbacks',
    });
    return undefined;
  }
}

/** Those whose names can be read; two with one stamp are reported, and the first goes on. */
function named(
  names: readonly string[] = [],
  { kind, folder }: { readonly kind: 'migration' | 'rollback'; readonly folder: string },
  report: Report,
): NamedFile[] {
  const byVersion = new Map<Version, NamedFile>();
  for (const name of names) {
    const [, version, description] =
      (kind === 'migration' ? migrationName : rollbackName).exec(name) ?? [];
    const form =
      kind === 'migration'
        ? 'YYYYMMDD_HHMMSS_description.sql'
        : 'YYYYMMDD_HHMMSS_description_rollback.sql';
    if (version === undefined || description === undefined) {
      report({ message: `${join(folder, name)} is not named ${form}` });
      continue;
    }
    if (kind === 'migration' && rollbackName.test(name)) {
      report({ message: `${join(folder, name)} is a rollback among the migrations` });
      continue;
    }
    if (!isRealStamp(version)) {
      report({ message: `${name} is stamped ${version}, which is no date and time` });
      continue;
    }
    const twin = byVersion.get(version);
    if (twin) {
      report({ message: `${twin.name} and ${name} have one stamp` });
      continue;
    }
    byVersion.set(version, { name, version, description });
  }
  return [...byVersion.values()];
}

function readSql(folder: string, name: string, report: Report): SqlFile | undefined {
  const path = join(folder, name);
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    report({ message: `${path} cannot be read`, evidence: [String(error)] });
    return undefined;
  }
  const text = decodeUtf8(bytes);
  if (text === undefined) {
    report({ message: `${name} is not UTF-8`, hint: 'save it as UTF-8' });
    return undefined;
  }
  if (text.includes('\0')) {
    report({ message: `${name} holds a NUL character, which PostgreSQL does not take` });
    return undefined;
  }
  if (text.trim() === '') {
    report({ message: `${name} is empty` });
    return undefined;
  }
  return sqlFile(name, text);
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
