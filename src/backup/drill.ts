import { withSession } from '../database/connection.ts';
import { resolveTarget } from '../database/target.ts';
import { isError } from '../runtime/errors.ts';
import { replaceFile } from '../runtime/files.ts';
import { findBackup } from './catalog.ts';
import { requireServer } from './create.ts';
import { withSuffix } from './database-name.ts';
import { type DrillResult, renderReport } from './report.ts';
import { dropRestored, type RestoreOptions, restore } from './restore.ts';
import { type Login, type SmokeResult, smokeTest } from './smoke.ts';
import { withStore } from './with-store.ts';

export interface DrillOptions extends Omit<RestoreOptions, 'into' | 'activate' | 'keep' | 'id'> {
  /** Default `latest`. */
  readonly id?: string | undefined;
  /** How long a restore may take. Default: the four hours of the specification, 10.1. */
  readonly rtoMs?: number | undefined;
  /** Default: an account of the backup, without its password. */
  readonly login?: Login | undefined;
  /** Files to write a report to: JSON where the name ends with `.json`, else Markdown. */
  readonly report?: readonly string[] | undefined;
}

const defaultRtoMs = 4 * 3_600_000;

/**
 * The quarterly drill of the specification, 10.3: restores a backup into a database of its own, compares every table with
 * the manifest, does what the services do first, measures the time, and drops the copy however it ends. A difference, a
 * failed test or a restore that takes too long is a result. Throws `file-problem` for a report, and what `restore` throws.
 */
export async function drill(options: DrillOptions): Promise<DrillResult> {
  const target = requireServer(resolveTarget(options.target));
  const { id = 'latest', database, rtoMs = defaultRtoMs, login, report = [], signal } = options;
  const startedAt = new Date();
  // The id is settled first, so that a backup that ends meanwhile is not restored in its place.
  const { backup, name } = await withStore(options, async (store) => ({
    backup: await findBackup(store, { id, database }),
    name: store.name,
  }));
  const stamp = startedAt.toISOString().replaceAll(/\D/g, '').slice(0, 14);
  const copy = withSuffix(backup.database, `_drill_${stamp}`);
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
  const result: DrillResult = {
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
      isRestored && restoreMs <= rtoMs && smokeTests.every((test) => test.outcome !== 'failed'),
  };
  for (const file of report) {
    const isJson = file.endsWith('.json');
    replaceFile(file, isJson ? `${JSON.stringify(result, null, 2)}\n` : renderReport(result));
  }
  return result;
}
