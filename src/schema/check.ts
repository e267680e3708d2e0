import type { Target } from '../database/target.ts';
import { compareVersions, type Version } from '../ledger/version.ts';
import * as migrate from '../migrations/migrate.ts';
import { readMigrations, resolveFolders } from '../migrations/source.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import { definedIn } from './definition.ts';
import { snapshot } from './live.ts';
import { type ScratchOptions, withMigratedScratch } from './scratch.ts';
import { compareSnapshots, type ObjectDifference } from './snapshot/difference.ts';
import { readSnapshotFile } from './snapshot/file.ts';
import type { Snapshot } from './snapshot/snapshot.ts';

export interface CheckOptions extends ScratchOptions {
  readonly target: Target | string;
  /** A file of `snapshot` that the database is compared with. Default: what its migrations make of a scratch database. */
  readonly against?: string | undefined;
}

export interface Drift {
  readonly difference: ObjectDifference;
  /** The migrations that last named what differs, oldest first; empty for what none names. */
  readonly definedIn: readonly string[];
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
 * database, or with a file. Grants count, owners and the versions of extensions do not; with a file, the rights count that
 * it has. Throws `history-mismatch` when the history has gaps or the files are not those that were applied, `file-problem`,
 * and as `snapshot` and `migrate.up` do.
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
