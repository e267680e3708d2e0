import { resolve } from 'node:path';
import { withSession } from '../database/connection.ts';
import { resolveTarget } from '../database/target.ts';
import type { RunOptions } from '../ledger/run.ts';
import { isError, messageOf } from '../runtime/errors.ts';
import { replaceFile, requireWritable } from '../runtime/files.ts';
import type { OnProgress } from '../runtime/progress.ts';
import { findBackup } from './catalog.ts';
import { requireServer } from './create.ts';
import { withSuffix } from './database-name.ts';
import { drillMoment } from './drill-moment.ts';
import {
  type DrillPhase,
  type DrillResult,
  drillPhases,
  type FailedDrill,
  renderFailedDrill,
  renderReport,
} from './report.ts';
import { dropRestored, type RestoreOptions, restore } from './restore.ts';
import { type Login, type SmokeResult, smokeTest } from './smoke.ts';
import type { StanzaOptions } from './wal/stanza.ts';
import { withStore } from './with-store.ts';

/** What every drill takes. */
interface CommonOptions {
  /** How long a restore may take. Default: the four hours of the specification, 10.1. */
  readonly rtoMs?: number | undefined;
  /** Default: an account of the backup, without its password. */
  readonly login?: Login | undefined;
  /** Files to write a report to: JSON where the name ends with `.json`, else Markdown. */
  readonly report?: readonly string[] | undefined;
}

/** A drill of a backup that `create` has made. */
export interface BackupDrillOptions
  extends CommonOptions,
    Omit<RestoreOptions, 'into' | 'activate' | 'keep' | 'id'> {
  /** Default `latest`. */
  readonly id?: string | undefined;
  readonly pitr?: undefined;
}

/** A drill of a moment, from the physical backups and the WAL of pgBackRest, as the user of the server. */
export interface MomentDrillOptions
  extends CommonOptions,
    StanzaOptions,
    Pick<RunOptions, 'onProgress' | 'signal'> {
  readonly pitr: Date;
  /** The database that is read and tried. Needed where the server has several. */
  readonly database?: string | undefined;
  /** A folder with room for the files of the server, in which the copy gets one of its own. Default /var/tmp. */
  readonly folder?: string | undefined;
  /** Leave the folder of the copy, which is stopped. */
  readonly keep?: boolean | undefined;
  /** The folder of the program postgres. Default: where packages put it, then the PATH. */
  readonly pgBin?: string | undefined;
}

export type DrillOptions = BackupDrillOptions | MomentDrillOptions;

const defaultRtoMs = 4 * 3_600_000;
const defaultFolder = '/var/tmp';

/**
 * The quarterly drill of the specification, 10.3: restores a backup into a database of its own and compares every table
 * with the manifest, or restores a moment into a copy of the server and reads every row. Then it does what the services
 * do first, measures the time, writes the reports, and drops the copy however the drill ends. A
 * difference, a failed test or a restore that takes too long is a result. A drill that ends with an error writes reports
 * too, with the phases up to there. Throws `file-problem` for a report, what `restore` throws, and with `pitr` what `wal.restore` throws.
 */
export async function drill(options: DrillOptions): Promise<DrillResult> {
  const { report = [], pitr } = options;
  for (const file of report) requireWritable(resolve(file));
  const startedAt = new Date();
  const phases = watchPhases(options.onProgress);
  try {
    const found = await run({ ...options, onProgress: phases.onProgress });
    // A restore that differs has no phases of its own.
    const result = found.phases.length > 0 ? found : { ...found, phases: phases.ended() };
    writeReports(report, result, renderReport);
    return result;
  } catch (error) {
    const failed: FailedDrill = {
      startedAt,
      moment: pitr,
      phases: phases.ended(),
      error: isError(error)
        ? { code: error.code, message: error.message }
        : { code: 'unexpected', message: messageOf(error) },
      hasPassed: false,
    };
    // Of two errors that of the drill counts.
    const unwritten = attempt(() => writeReports(report, failed, renderFailedDrill));
    throw unwritten && isError(error) ? error.with({ message: messageOf(unwritten) }) : error;
  }
}

function run(options: DrillOptions): Promise<DrillResult> {
  const { rtoMs = defaultRtoMs } = options;
  if (options.pitr === undefined) return drillBackup({ ...options, rtoMs });
  return drillMoment({
    pitr: options.pitr,
    config: options.config,
    stanza: options.stanza,
    database: options.database,
    folder: options.folder ?? defaultFolder,
    pgBin: options.pgBin,
    signal: options.signal,
    onProgress: options.onProgress,
    rtoMs,
    login: options.login,
    keep: options.keep ?? false,
  });
}

function writeReports<Result>(
  files: readonly string[],
  result: Result,
  render: (result: Result) => string,
): void {
  for (const file of files) {
    const isJson = file.endsWith('.json');
    replaceFile(file, isJson ? `${JSON.stringify(result, null, 2)}\n` : render(result));
  }
}

function attempt(work: () => void): unknown {
  try {
    work();
    return undefined;
  } catch (error) {
    return error;
  }
}

interface Phases {
  readonly onProgress: OnProgress;
  /** Each phase with its time; the last one ends now. */
  readonly ended: () => readonly DrillPhase[];
}

/** Takes the times from the progress, which also a drill that ends with an error has reported. */
function watchPhases(onProgress: OnProgress | undefined): Phases {
  const begun: { readonly name: DrillPhase['name']; readonly at: number }[] = [];
  return {
    onProgress: (event) => {
      const name =
        event.kind === 'backup-phase'
          ? drillPhases.find((each) => each === event.phase)
          : undefined;
      if (name !== undefined) begun.push({ name, at: performance.now() });
      onProgress?.(event);
    },
    ended: () =>
      begun.map(({ name, at }, index) => ({
        name,
        durationMs: Math.round((begun[index + 1]?.at ?? performance.now()) - at),
      })),
  };
}

async function drillBackup(
  options: BackupDrillOptions & { readonly rtoMs: number },
): Promise<DrillResult> {
  const target = requireServer(resolveTarget(options.target));
  const { id = 'latest', database, rtoMs, login, signal } = options;
  const startedAt = new Date();
  // The id is settled first, so that a backup that ends meanwhile is not restored in its place.
  const { backup, name } = await withStore(options, async (store) => ({
    backup: await findBackup(store, { id, database, onProgress: options.onProgress }),
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
  return {
    store: name,
    id: backup.id,
    source: backup.database,
    backedUpAt: new Date(manifest.startedAt),
    startedAt,
    environment: manifest.environment,
    newestMigration: manifest.migration,
    copy,
    moment: undefined,
    phases: isRestored ? outcome.phases : [],
    restoreMs,
    rtoMs,
    tables: manifest.tables,
    differences: isRestored ? [] : outcome.details.differences,
    smokeTests,
    hasPassed:
      isRestored && restoreMs <= rtoMs && smokeTests.every((test) => test.outcome !== 'failed'),
  };
}
