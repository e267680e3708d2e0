import type { Target } from '../database/target.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import { type RightsOptions, snapshot } from './live.ts';
import { type ScratchOptions, withMigratedScratch } from './scratch.ts';
import { compareSnapshots, type ObjectDifference } from './snapshot/difference.ts';
import { readSnapshotFile } from './snapshot/file.ts';
import type { Rights, Snapshot } from './snapshot/snapshot.ts';

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
