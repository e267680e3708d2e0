import { withTransaction } from '../database/connection.ts';
import { readReplicas } from '../database/replicas.ts';
import { describeTarget, resolveTarget } from '../database/target.ts';
import { type DestructiveRequest, guardDestruction } from '../ledger/environment.ts';
import {
  recordBaseline,
  recordForgotten,
  recordRepaired,
  recordSettled,
} from '../ledger/history.ts';
import { ensureLedger, withRun } from '../ledger/run.ts';
import { requireSafePath } from '../ledger/search-path.ts';
import { compareVersions, type Version } from '../ledger/version.ts';
import { CryptosenseDbError, isError } from '../runtime/errors.ts';
import { runSteps } from './apply.ts';
import { refuseElsewhere } from './elsewhere.ts';
import { extentOf } from './extent.ts';
import { findInvalidIndexes } from './invalid-indexes.ts';
import type {
  BaselineOptions,
  BaselineResult,
  DownOptions,
  MigrateOptions,
  MigrationReport,
  RedoOptions,
  RepairOptions,
  RepairResult,
  ReplicaOptions,
  RunResult,
  StatusResult,
  UpOptions,
} from './options.ts';
import { migrationName, planned, summarise } from './outcome.ts';
import { applyPending } from './pending-run.ts';
import { planDown, planRedo, planRepair, requireKnown } from './plan.ts';
import { prepareDown, prepareUp } from './preparation.ts';
import { requireReplicaSight, waitForReplicas } from './replica-wait.ts';
import { readMigrations, resolveFolders } from './source.ts';
import { compareWithLedger, type MigrationStatus } from './status.ts';
import type { CompletedStep } from './step.ts';

export { plan } from './measured-plan.ts';
export type * from './options.ts';
export { create } from './scaffold.ts';
export { templateNames } from './templates.ts';

/**
 * Applies pending migrations, oldest first, each in one transaction with its history row. With nothing pending it
 * does nothing and succeeds. When a migration fails, the ones before it stay applied (with `singleTransaction` none
 * does), and the error's details name them. Throws `history-mismatch` for a database without a history that holds
 * what the migrations create; nothing is recorded then.
 *
 * After `connection-lost`, the first of the `pending` migrations may be committed: the server had it when the
 * connection broke. The next run finds out.
 *
 * With `waitForReplicasMs`, throws `not-permitted` before the first migration when the role may not see how far the
 * replicas are. A replica that is not in time is a result: the migrations stay applied.
 */
export async function up(options: UpOptions): Promise<RunResult> {
  return withReplicaWait(withScript(options), (given) => applyPending(given));
}

/** Throws `bad-configuration` for the SQL of a run that is to take place. */
function withScript<Options extends Pick<UpOptions, 'dryRun' | 'script'>>(
  options: Options,
): Options {
  if (!options.script || options.dryRun) return options;
  throw new CryptosenseDbError('bad-configuration', {
    message: 'the SQL of a run is printed in a dry run only',
    hint: 'add --dry-run to --sql',
  });
}

/** Runs the operation, and waits for replicas where the options say so. */
async function withReplicaWait<
  Options extends MigrateOptions & ReplicaOptions & { readonly dryRun?: boolean | undefined },
>(options: Options, operate: (options: Options) => Promise<RunResult>): Promise<RunResult> {
  const { waitForReplicasMs: timeoutMs, dryRun, signal, onProgress } = options;
  if (timeoutMs === undefined || dryRun) return operate(options);
  const target = resolveTarget(options.target);
  const wait = { timeoutMs, signal, onProgress };
  await requireReplicaSight(target, wait);
  const result = await operate({ ...options, target });
  return { ...result, replicaWait: await waitForReplicas(target, result.steps, wait) };
}

/**
 * Rolls back applied migrations, newest first: those newer than `to`, a number of `steps`, `all`, or one by default.
 * Runs the rollbacks that were recorded with the migrations, so the files may be gone, unless a role that the run does
 * not trust may have written them. Refuses, without `force`, a production or staging database and one that has rows and
 * no mark; and rollbacks that say "-- Irreversible". Nothing has run then. `waitForReplicasMs` is as for `up`.
 */
export async function down(options: DownOptions): Promise<RunResult> {
  return withReplicaWait(withScript(options), rollBack);
}

async function rollBack(options: DownOptions): Promise<RunResult> {
  const pairs = readMigrations(resolveFolders(options));
  const extent = options.all ? { kind: 'all' as const } : extentOf(options);
  return withRun(options, { access: options.dryRun ? 'read' : 'write' }, async (run) => {
    const { session, ledger } = run;
    // A dry run destroys nothing.
    if (!options.dryRun) await guardDestruction(run, rollingBack(options));
    await refuseElsewhere(run, pairs, options);
    const chosen = planDown(
      compareWithLedger(pairs, ledger),
      extent ?? { kind: 'steps', count: 1 },
    );
    const steps = await prepareDown(session, { entries: chosen, pairs }, options);
    if (steps.length > 0) await requireSafePath(session);
    if (options.dryRun) {
      return planned(run, { steps, pairs }, { ...options, manner: 'one by one' });
    }
    if (steps.length > 0) await ensureLedger(run, 'migrations');
    const done = await runSteps(run, steps, { ...options, manner: 'one by one' });
    return summarise(run, { steps: done, pairs, isDryRun: false }, {});
  });
}

/**
 * Rolls the newest migrations back as recorded (one, or `steps`), and applies them again from their files, which may
 * have been edited. Refuses as `down` does without `force`. When applying fails, they stay rolled back.
 *
 * Applies them in a second session: a backend that has dropped TimescaleDB cannot load it again. A migration that
 * another run has applied in between is not applied again. `waitForReplicasMs` is as for `up`.
 */
export async function redo(options: RedoOptions): Promise<RunResult> {
  return withReplicaWait(options, rollBackAndApply);
}

async function rollBackAndApply(options: RedoOptions): Promise<RunResult> {
  const pairs = readMigrations(resolveFolders(options));
  const { steps } = options;
  extentOf({ steps });
  const undone = await withRun(options, { access: 'write' }, async (run) => {
    const { session, ledger } = run;
    await guardDestruction(run, rollingBack(options));
    await refuseElsewhere(run, pairs, options);
    const chosen = planRedo(compareWithLedger(pairs, ledger), steps ?? 1);
    const entries = chosen.map(({ entry }) => entry);
    const back = await prepareDown(session, { entries, pairs }, options);
    // Refuses a faulty file before the rollback runs.
    await prepareUp(
      session,
      chosen.map(({ pair }) => pair),
      options,
    );
    if (back.length > 0) await requireSafePath(session);
    if (back.length > 0) await ensureLedger(run, 'migrations');
    return runSteps(run, back, { ...options, manner: 'one by one' });
  });
  return withRun(options, { access: 'write' }, async (run) => {
    const { session, ledger } = run;
    const isApplied = (version: Version) =>
      ledger.entries.some((entry) => entry.version === version);
    const isUndone = (version: Version) => undone.some((step) => step.version === version);
    const chosen = pairs.filter(({ version }) => isUndone(version) && !isApplied(version));
    const redone = await runSteps(run, await prepareUp(session, chosen, options), {
      ...options,
      manner: 'one by one',
    });
    return summarise(run, { steps: [...undone, ...redone], pairs, isDryRun: false }, {});
  }).catch((error: unknown) => {
    throw isError(error) ? withRolledBack(error, undone) : error;
  });
}

/** Adds to the error of a redo which migrations it rolled back and did not apply again. */
function withRolledBack(error: CryptosenseDbError, undone: readonly CompletedStep[]) {
  const redone: readonly Version[] = hasProgress(error) ? error.details.completed : [];
  const left = undone.map(({ version }) => version).filter((version) => !redone.includes(version));
  return error.with({
    message: `rolled back and not applied again: ${left.join(', ')}`,
    hint: 'correct the file, then: cryptosense-db migrate up',
  });
}

function hasProgress(
  error: CryptosenseDbError,
): error is CryptosenseDbError<'migration-failed' | 'interrupted' | 'connection-lost'> {
  return ['migration-failed', 'interrupted', 'connection-lost'].includes(error.code);
}

/** The state of every migration. Changes nothing, waits for no lock, and runs on a standby too. */
export async function status(options: MigrateOptions): Promise<StatusResult> {
  const pairs = readMigrations(resolveFolders(options));
  return withRun(options, { access: 'read' }, async ({ session, ledger }) => {
    await refuseElsewhere({ session, ledger }, pairs, options);
    const statuses = compareWithLedger(pairs, ledger);
    const begun = statuses.flatMap(({ pair, state }) =>
      pair && state !== 'pending' && state !== 'out of order' ? [pair] : [],
    );
    const invalidIndexes = await findInvalidIndexes(session.sql, begun, options);
    return {
      target: describeTarget(session.target),
      database: session.server.database,
      environment: ledger.environment,
      migrations: statuses.map(reportOf),
      invalidIndexes,
      replicas: await readReplicas(session),
      isCurrent: invalidIndexes.length === 0 && statuses.every(({ state }) => state === 'applied'),
    };
  });
}

/**
 * Updates the history from the files: records changed and renamed migrations as they are on disk, and drops the
 * records that `forget` names. Settles interrupted statements: `repeat` and `finish` name their versions. No migration
 * runs.
 * Throws `unknown-version` for a version that is not recorded, and `history-mismatch` for one whose files are gone;
 * the history is unchanged then.
 */
export async function repair(options: RepairOptions): Promise<RepairResult> {
  const pairs = readMigrations(resolveFolders(options));
  return withRun(options, { access: 'write' }, async (run) => {
    const { session, ledger, writer } = run;
    const { versions = [], forget: forgotten = [], repeat: toRepeat = [], finish = [] } = options;
    const settle = [...toRepeat, ...finish];
    const repairs = planRepair(compareWithLedger(pairs, ledger), {
      versions,
      forget: forgotten,
      settle,
    });
    if (repairs.length + forgotten.length + settle.length > 0) {
      await ensureLedger(run, 'migrations');
    }
    await withTransaction(session.sql, async () => {
      for (const entry of repairs) await recordRepaired(session.sql, entry, writer);
      for (const version of forgotten) await recordForgotten(session.sql, version, writer);
      for (const version of toRepeat) {
        await recordSettled(session.sql, { version, as: 'to repeat' }, writer);
      }
      for (const version of finish) {
        await recordSettled(session.sql, { version, as: 'finished' }, writer);
      }
    });
    const repaired = repairs.map(({ pair }) => migrationName(pair));
    return { repaired, forgotten, toRepeat, finished: finish };
  });
}

/**
 * Records every migration up to and including `version` as applied, without running it: for a database that has the
 * schema already. Throws `history-mismatch` when the database has a history.
 */
export async function baseline(options: BaselineOptions): Promise<BaselineResult> {
  const pairs = readMigrations(resolveFolders(options));
  return withRun(options, { access: 'write' }, async (run) => {
    const { session, ledger, writer } = run;
    requireKnown(
      compareWithLedger(pairs, { entries: [], journal: [] }),
      options.version,
      'no file has it',
    );
    const [first] = [...ledger.entries, ...ledger.journal];
    if (first) {
      throw new CryptosenseDbError(
        'history-mismatch',
        {
          message: `"${session.server.database}" already has a history`,
          evidence: [`${ledger.entries.length} applied; the first record is of ${first.version}`],
          hint: 'a baseline is for a database without one; see: cryptosense-db migrate status',
        },
        { details: { versions: ledger.entries.map(({ version }) => version) } },
      );
    }
    const recorded = pairs.filter(({ version }) => compareVersions(version, options.version) <= 0);
    await prepareUp(session, recorded, options);
    await ensureLedger(run, 'migrations');
    await withTransaction(session.sql, async () => {
      for (const pair of recorded) await recordBaseline(session.sql, pair, writer);
    });
    return { recorded: recorded.map(migrationName) };
  });
}

function rollingBack({ force }: Pick<DownOptions, 'force'>): DestructiveRequest {
  return { operation: 'roll back migrations', count: 'tables in use', force };
}

function reportOf(status: MigrationStatus): MigrationReport {
  const { version, description, state, entry, interruption } = status;
  return {
    version,
    description,
    state,
    appliedAt: entry?.appliedAt,
    appliedBy: entry?.appliedBy,
    durationMs: entry?.durationMs,
    interruption,
  };
}
