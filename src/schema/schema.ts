import type { Target } from '../database/target.ts';
import { compareVersions, type Version } from '../ledger/version.ts';
import * as migrate from '../migrations/migrate.ts';
import { readMigrations, resolveFolders } from '../migrations/source.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import { definedIn } from './definition.ts';
import { type RightsOptions, snapshot } from './live.ts';
import { type ScratchOptions, withMigratedScratch } from './scratch.ts';
import { compareSnapshots, type ObjectDifference } from './snapshot/difference.ts';
import { readSnapshotFile } from './snapshot/file.ts';
import type { Rights, Snapshot } from './snapshot/snapshot.ts';

export { type DocOptions, type DocResult, type DocSettings, doc, type PageChange } from './doc.ts';
export {
  type ErdFile,
  type ErdFormat,
  type ErdOptions,
  type ErdResult,
  type ErdSettings,
  erd,
  type LineDifference,
} from './erd.ts';
export {
  type LintFinding,
  type LintOptions,
  type LintResult,
  lint,
  type NotRun,
  type Severity,
} from './lint/lint.ts';
export {
  type RightsOptions,
  type ScriptOptions,
  type ScriptResult,
  type SnapshotOptions,
  type SnapshotResult,
  script,
  snapshot,
} from './live.ts';
export type { Loss, RowCheck } from './losses.ts';
export type { ScratchOptions } from './scratch.ts';
export type { LeftOut } from './script/source.ts';
export type { FactDifference, ObjectDifference, PartDifference } from './snapshot/difference.ts';
export { type Fact, printSnapshot, type SchemaObject, type Snapshot } from './snapshot/snapshot.ts';
export type { SourceOptions } from './source.ts';
export { type BrokenStep, type VerifyOptions, type VerifyResult, verify } from './verify.ts';

export interface DiffOptions extends ScratchOptions, RightsOptions {
  /** A URL, the path of a snapshot file, or `migrations`: the files, applied to a scratch database. */
  readonly before: string;
  readonly after: string;
}

export interface DiffResult {
  /** What was compared, without passwords. */
  readonly before: string;
  readonly after: string;
  readonly differences: readonly ObjectDifference[];
}

/**
 * Compares two schemas. Beside a file, a database is read with the owners and grants that the file has. Throws
 * `file-problem` for a file that is no snapshot, `bad-configuration` for one without the owners or grants that are asked
 * for, and as `snapshot` and `migrate.up` do.
 */
export async function diff(options: DiffOptions): Promise<DiffResult> {
  const words = [options.before, options.after] as const;
  refuseUnused(options);
  const files = new Map(
    words
      .filter((word) => !isDatabase(word))
      .map((path) => [path, readSnapshotFile(path, { hint: sourceHint })]),
  );
  const read = { ...options, ...rightsOf([...files.values()], options) };
  const sourceOf = async (word: string) => {
    const file = files.get(word);
    return file ? { name: word, snapshot: file } : readDatabase(word, read);
  };
  const before = await sourceOf(options.before);
  const after = await sourceOf(options.after);
  return {
    before: before.name,
    after: after.name,
    differences: compareSnapshots(before.snapshot, after.snapshot),
  };
}

/** Folders and a scratch database are for the word `migrations`. */
function refuseUnused({ before, after, scratch, migrations, rollbacks }: DiffOptions): void {
  if ([before, after].includes('migrations')) return;
  if ((scratch ?? migrations ?? rollbacks) === undefined) return;
  throw new CryptosenseDbError('bad-configuration', {
    message: 'a scratch database or a folder is given, and neither side is the word "migrations"',
    hint: 'compare with the files: cryptosense-db schema diff migrations URL',
  });
}

const sourceHint = 'name a URL, a file of: cryptosense-db schema snapshot, or the word migrations';

function isDatabase(word: string): boolean {
  return word === 'migrations' || word.includes('://') || word.startsWith('embedded:');
}

/** What the files have besides the schema, or what is asked for where there is no file. */
function rightsOf(
  files: readonly Snapshot[],
  { owners = false, grants = false }: RightsOptions,
): Rights {
  const [file] = files;
  if (!file) return { owners, grants };
  const isOdd = (each: Snapshot) => each.owners !== file.owners || each.grants !== file.grants;
  const lacksSome = (owners && !file.owners) || (grants && !file.grants);
  if (!lacksSome && !files.some(isOdd)) return { owners: file.owners, grants: file.grants };
  throw new CryptosenseDbError('bad-configuration', {
    message: lacksSome
      ? 'owners or grants are asked for, and the snapshot file does not have them'
      : 'one of the snapshot files has owners or grants, and the other has not',
    hint: 'write the file again with: cryptosense-db schema snapshot --owners --grants --out FILE',
  });
}

async function readDatabase(
  word: string,
  options: DiffOptions,
): Promise<{ readonly name: string; readonly snapshot: Snapshot }> {
  const { owners, grants, signal } = options;
  const read = (target: Target | string) => snapshot({ target, owners, grants, signal });
  const isMigrations = word === 'migrations';
  const result = await (isMigrations ? withMigratedScratch(options, read) : read(word));
  return { name: isMigrations ? word : result.target, snapshot: result.snapshot };
}

export interface CheckOptions extends ScratchOptions {
  readonly target: Target | string;
  /** A file of `snapshot` that the database is compared with. Default: what its migrations make of a scratch database. */
  readonly against?: string | undefined;
}

export interface Drift {
  readonly difference: ObjectDifference;
  /** The newest migration that names the object, and the part where one is named; undefined without one. */
  readonly definedIn: string | undefined;
}

export interface CheckResult {
  readonly target: string;
  /** The newest migration that is applied. */
  readonly version: Version;
  readonly against: string;
  /** Empty: the database has the schema that its history says. */
  readonly drift: readonly Drift[];
}

/**
 * Compares the schema of a database with what its history says: the migrations up to its newest one, applied to a scratch
 * database. Grants count, owners and the versions of extensions do not; beside a file, what it has. Throws `history-mismatch` when the history has
 * gaps or the files are not those that were applied, and as `snapshot` and `migrate.up` do.
 */
export async function check(options: CheckOptions): Promise<CheckResult> {
  const { target, against, signal } = options;
  const version = await readVersion(options);
  const file = against === undefined ? undefined : readSnapshotFile(against);
  const rights = { owners: file?.owners ?? false, grants: file?.grants ?? true };
  const read = (of: Target | string) => snapshot({ target: of, ...rights, signal });
  const live = await read(target);
  const expected = file ?? (await withMigratedScratch({ ...options, to: version }, read)).snapshot;
  const differences = compareSnapshots(withoutVersions(expected), withoutVersions(live.snapshot));
  return {
    target: live.target,
    version,
    against: against ?? 'migrations',
    drift: explain(differences, { version, options }),
  };
}

/** With the migration that last defined each, among those up to the version. */
function explain(
  differences: readonly ObjectDifference[],
  { version, options }: { readonly version: Version; readonly options: CheckOptions },
): readonly Drift[] {
  if (differences.length === 0) return [];
  const applied = readMigrations(resolveFolders(options)).filter(
    (pair) => compareVersions(pair.version, version) <= 0,
  );
  return differences.map((difference) => ({
    difference,
    definedIn: definedIn(difference, applied),
  }));
}

/** The newest applied migration. The scratch database can only have the schema of a history without gaps. */
async function readVersion(options: CheckOptions): Promise<Version> {
  const { target, migrations, rollbacks, signal } = options;
  const status = await migrate.status({ target, migrations, rollbacks, signal });
  const version = status.migrations.findLast(({ state }) => state !== 'pending')?.version;
  const others = status.migrations.filter(
    ({ state }) => state !== 'applied' && state !== 'pending',
  );
  if (version !== undefined && others.length === 0) return version;
  throw new CryptosenseDbError(
    'history-mismatch',
    {
      message:
        version === undefined
          ? `no migration is applied to ${status.target}: nothing says what its schema should be`
          : `the files are not the history of ${status.target}: they cannot say what its schema should be`,
      evidence: others.map(
        ({ version: own, description, state }) => `${own}_${description}  ${state}`,
      ),
      hint: 'see what is different: cryptosense-db migrate status; or compare with a file: --against FILE',
    },
    { details: { versions: others.map((each) => each.version) } },
  );
}

/** ALTER EXTENSION … UPDATE is no drift, and the scratch database may be on another server. */
function withoutVersions({ objects, ...rest }: Snapshot): Snapshot {
  return {
    ...rest,
    objects: objects.map((object) => {
      if (object.kind !== 'extension') return object;
      const { version: _, ...facts } = object.facts;
      return { ...object, facts };
    }),
  };
}
