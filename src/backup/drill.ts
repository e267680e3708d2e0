import { withSession } from '../database/connection.ts';
import { resolveTarget } from '../database/target.ts';
import { isError } from '../runtime/errors.ts';
import { findBackup } from './catalog.ts';
import { requireServer } from './create.ts';
import type { ManifestTable } from './manifest.ts';
import { dropRestored, type RestoreOptions, type RestorePhase, restore } from './restore.ts';
import { type Login, type SmokeResult, smokeTest } from './smoke.ts';
import { withStore } from './with-store.ts';

export interface DrillOptions extends Omit<RestoreOptions, 'into' | 'activate' | 'keep' | 'id'> {
  /** Default `latest`. */
  readonly id?: string | undefined;
  /** How long a restore may take. Default: the four hours of the specification, 10.1. */
  readonly rtoMs?: number | undefined;
  /** Default: an account of the backup, without its password. */
  readonly login?: Login | undefined;
}

export interface DrillResult {
  readonly store: string;
  readonly id: string;
  readonly source: string;
  readonly backedUpAt: Date;
  readonly startedAt: Date;
  readonly environment: string | null;
  readonly newestMigration: string | null;
  /** The database that was restored and dropped. */
  readonly copy: string;
  readonly phases: readonly RestorePhase[];
  /** Restore and comparison, without the smoke tests. */
  readonly restoreMs: number;
  readonly rtoMs: number;
  /** What the manifest says, which the restored tables are compared with. */
  readonly tables: readonly ManifestTable[];
  readonly differences: readonly string[];
  readonly smokeTests: readonly SmokeResult[];
  readonly hasPassed: boolean;
}

export const defaultRtoMs = 4 * 3_600_000;

/**
 * The quarterly drill of the specification, 10.3: restores a backup into a database of its own, compares every table with
 * the manifest, does what the services do first, measures the time, and drops the copy however it ends. A difference, a
 * failed test or a restore that takes too long is a result. Throws what `restore` throws otherwise.
 */
export async function drill(options: DrillOptions): Promise<DrillResult> {
  const target = requireServer(resolveTarget(options.target));
  const { id = 'latest', database, rtoMs = defaultRtoMs, login, signal } = options;
  const startedAt = new Date();
  // The id is settled first, so that a backup that ends meanwhile is not restored in its place.
  const { backup, name } = await withStore(options, async (store) => ({
    backup: await findBackup(store, { id, database }),
    name: store.name,
  }));
  const copy = copyName(backup.database, startedAt);
  const begun = performance.now();
  const request = { ...options, id: backup.id, database: backup.database, into: copy };
  const outcome = await restore(request).catch((error: unknown) => {
    if (isError(error, 'restore-differs')) return error;
    throw error;
  });
  const restoreMs = Math.round(performance.now() - begun);
  const isRestored = !(outcome instanceof Error);
  let smokeTests: readonly SmokeResult[] = [];
  if (isRestored) {
    try {
      smokeTests = await withSession(
        { ...target, database: copy },
        { signal, isCatalogOnly: true },
        (session) => smokeTest(session, login),
      );
    } finally {
      await dropRestored(target, copy);
    }
  }
  const { manifest } = backup;
  const differences = isRestored ? [] : outcome.details.differences;
  return {
    store: name,
    id: backup.id,
    source: backup.database,
    backedUpAt: new Date(manifest.startedAt),
    startedAt,
    environment: manifest.environment,
    newestMigration: manifest.migration,
    copy,
    phases: isRestored ? outcome.phases : [],
    restoreMs,
    rtoMs,
    tables: manifest.tables,
    differences,
    smokeTests,
    hasPassed:
      isRestored &&
      restoreMs <= rtoMs &&
      smokeTests.every(({ outcome: result }) => result !== 'failed'),
  };
}

/** `shop_drill_20261127223000`; the name of the source is cut where it would be too long. */
function copyName(source: string, at: Date): string {
  const suffix = `_drill_${at.toISOString().replaceAll(/\D/g, '').slice(0, 14)}`;
  let start = source;
  while (Buffer.byteLength(start + suffix) > 63) start = [...start].slice(0, -1).join('');
  return start + suffix;
}
