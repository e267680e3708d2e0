import { type Session, withSession, withTransaction } from '../database/connection.ts';
import { defaultLockTimeoutMs, withMigrationLock } from '../database/lock.ts';
import { connectionLost, interrupted } from '../database/refusals.ts';
import { requireServerVersion, requireTimescale } from '../database/requirements.ts';
import { isConnectionLost } from '../database/sql-errors.ts';
import { resolveTarget, type Target } from '../database/target.ts';
import { CryptosenseDbError } from '../errors.ts';
import { toolVersion } from '../package.ts';
import type { OnProgress } from '../progress.ts';
import {
  type CompletedStep,
  logFailure,
  type RunOptions,
  runSteps,
  runStepsTogether,
  StatementError,
  type Step,
} from './apply.ts';
import { guardProduction, markAs, requireMark } from './environment.ts';
import { describeFailure } from './failure.ts';
import {
  createLedger,
  type Environment,
  emptyLedger,
  type Ledger,
  type LedgerEntry,
  readLedger,
  readRollbacks,
  recordBaseline,
  recordForgotten,
  recordRepaired,
  requireWritable,
} from './ledger.ts';
import {
  compareWithLedger,
  type Extent,
  type MigrationState,
  type MigrationStatus,
  planDown,
  planRedo,
  planRepair,
  planUp,
  requireKnown,
} from './plan.ts';
import { checksumOf, type MigrationPair, readMigrations, resolveFolders } from './source.ts';
import type { Script } from './statements.ts';
import { compareVersions, type Version } from './version.ts';

export { create, templateNames } from './scaffold.ts';

/** What every operation takes. */
export interface MigrateOptions {
  /** A URL (`postgresql://…`, `embedded:FOLDER`) or a target that was read before. */
  readonly target: Target | string;
  /** Folders of migrations and rollbacks; the packaged schema when left out. */
  readonly migrations?: string | undefined;
  readonly rollbacks?: string | undefined;
  readonly onProgress?: OnProgress | undefined;
  /** Fired: the running statement is cancelled, its step rolled back, `interrupted` thrown. */
  readonly signal?: AbortSignal | undefined;
}

/** What operations that change the database take besides. */
export interface RunControl {
  /** How long to wait for another run to end. Default 60,000. */
  readonly lockTimeoutMs?: number | undefined;
  /** How long a statement waits for a table lock before its step is tried again. Default 5,000. */
  readonly tableLockTimeoutMs?: number | undefined;
  /** How many times a step is tried again. Default 5. */
  readonly tableLockRetries?: number | undefined;
}

/** How far: `to` a version, by `steps`, or, with neither, the operation's own default. */
export interface ExtentOptions {
  readonly to?: Version | undefined;
  readonly steps?: number | undefined;
}

export interface UpOptions extends MigrateOptions, RunControl, ExtentOptions {
  /** All in one transaction, or none. Refused when a file says `-- Transaction: none`. */
  readonly singleTransaction?: boolean | undefined;
  /** Check and list everything, change nothing. */
  readonly dryRun?: boolean | undefined;
  readonly allowOutOfOrder?: boolean | undefined;
  /** Marks the database, once and for all. */
  readonly environment?: Environment | undefined;
}

export interface DownOptions extends MigrateOptions, RunControl, ExtentOptions {
  readonly all?: boolean | undefined;
  readonly dryRun?: boolean | undefined;
  /** The database's name: confirms a rollback of a production database. */
  readonly force?: string | undefined;
}

export interface RedoOptions extends MigrateOptions, RunControl {
  readonly steps?: number | undefined;
  readonly force?: string | undefined;
}

export interface RepairOptions extends MigrateOptions, RunControl {
  /** Records to bring in line with the files; all that differ when empty. */
  readonly versions?: readonly Version[] | undefined;
  /** Records to drop: the schema stays as it is. */
  readonly forget?: readonly Version[] | undefined;
}

export interface BaselineOptions extends MigrateOptions, RunControl {
  /** The newest version that the database already has. */
  readonly version: Version;
}

/** A migration by name. */
export interface MigrationName {
  readonly version: Version;
  readonly description: string;
}

export interface RunResult {
  readonly database: string;
  readonly environment: Environment | undefined;
  /** In the order they ran. Of a dry run: what would run, each in 0 ms. */
  readonly steps: readonly CompletedStep[];
  readonly isDryRun: boolean;
  /** Applied in all, now. */
  readonly applied: number;
  /** Files that are still to be applied. */
  readonly pending: readonly MigrationName[];
}

export interface StatusResult {
  readonly database: string;
  readonly environment: Environment | undefined;
  readonly migrations: readonly MigrationReport[];
  /** Every migration is applied and unchanged. */
  readonly isCurrent: boolean;
}

export interface MigrationReport extends MigrationName {
  readonly state: MigrationState;
  readonly appliedAt: Date | undefined;
  readonly appliedBy: string | undefined;
  readonly durationMs: number | undefined;
}

export interface RepairResult {
  readonly repaired: readonly MigrationName[];
  readonly forgotten: readonly Version[];
}

export interface BaselineResult {
  readonly recorded: readonly MigrationName[];
}

/**
 * Applies pending migrations, oldest first, each with its history row in one transaction.
 * With nothing pending it does nothing and succeeds. On failure the migrations before the failing
 * one stay applied (with `singleTransaction` none does); the error's details name them.
 */
export async function up(options: UpOptions): Promise<RunResult> {
  const pairs = readMigrations(resolveFolders(options));
  const extent = extentOf(options) ?? { kind: 'all' };
  return withRun(options, { changes: !options.dryRun }, async (run) => {
    const { session, ledger } = run;
    requireMark(session, { mark: ledger.environment, environment: options.environment });
    const chosen = planUp(compareWithLedger(pairs, ledger), {
      extent,
      outOfOrder: options.allowOutOfOrder ? 'allow' : 'refuse',
    });
    const steps = await prepareUp(session, chosen);
    if (options.singleTransaction) refuseTogether(steps);
    if (options.dryRun) {
      return summarise(run, { steps: steps.map(planned), pairs, isDryRun: true }, options);
    }
    if (steps.length > 0 || options.environment) await requireLedger(run);
    // Before the first step: a first deployment that stops halfway is production all the same.
    if (options.environment) await markAs(session, options.environment);
    const done = await execute(run, steps, options.singleTransaction ? 'together' : 'one by one');
    return summarise(run, { steps: done, pairs, isDryRun: false }, options);
  });
}

/**
 * Rolls back applied migrations, newest first: one when nothing is said, down to and without `to`,
 * by `steps`, or `all`. Runs the rollbacks that were recorded when the migrations were applied, so
 * the files may be gone. Refused by a production database, and where a rollback says that there
 * is no way back; nothing is touched then.
 */
export async function down(options: DownOptions): Promise<RunResult> {
  const pairs = readMigrations(resolveFolders(options));
  const extent = options.all ? { kind: 'all' as const } : extentOf(options);
  return withRun(options, { changes: !options.dryRun }, async (run) => {
    const { session, ledger } = run;
    guardProduction(session, ledger.environment, {
      operation: 'roll back migrations',
      force: options.force,
    });
    const chosen = planDown(
      compareWithLedger(pairs, ledger),
      extent ?? { kind: 'steps', count: 1 },
    );
    const steps = await prepareDown(session, chosen);
    const done = options.dryRun ? steps.map(planned) : await execute(run, steps, 'one by one');
    return summarise(run, { steps: done, pairs, isDryRun: options.dryRun ?? false }, {});
  });
}

/**
 * Rolls the newest migrations back (one, or `steps`) as they were recorded, and applies them again
 * from their files, edited or not. Refused by a production database. When applying fails, they
 * stay rolled back.
 *
 * The way forth is a run of its own, on a backend of its own: one that has dropped TimescaleDB
 * cannot use it again. What another run applied in between is not applied twice.
 */
export async function redo(options: RedoOptions): Promise<RunResult> {
  const pairs = readMigrations(resolveFolders(options));
  const { steps } = options;
  extentOf({ steps });
  const undone = await withRun(options, { changes: true }, async (run) => {
    const { session, ledger } = run;
    guardProduction(session, ledger.environment, {
      operation: 'roll back migrations',
      force: options.force,
    });
    const chosen = planRedo(compareWithLedger(pairs, ledger), steps ?? 1);
    const back = await prepareDown(
      session,
      chosen.map(({ entry }) => entry),
    );
    await prepareUp(
      session,
      chosen.map(({ pair }) => pair),
    );
    return execute(run, back, 'one by one');
  });
  return withRun(options, { changes: true }, async (run) => {
    const { session, ledger } = run;
    const isApplied = (version: Version) =>
      ledger.entries.some((entry) => entry.version === version);
    const isUndone = (version: Version) => undone.some((step) => step.version === version);
    const chosen = pairs.filter(({ version }) => isUndone(version) && !isApplied(version));
    const redone = await execute(run, await prepareUp(session, chosen), 'one by one');
    return summarise(run, { steps: [...undone, ...redone], pairs, isDryRun: false }, {});
  });
}

/** Where every migration stands. Changes nothing, waits for no lock, and serves on a standby too. */
export async function status(options: MigrateOptions): Promise<StatusResult> {
  const pairs = readMigrations(resolveFolders(options));
  return withRun(options, { changes: false }, async ({ session, ledger }) => {
    const statuses = compareWithLedger(pairs, ledger);
    return {
      database: session.server.database,
      environment: ledger.environment,
      migrations: statuses.map(report),
      isCurrent: statuses.every(({ state }) => state === 'applied'),
    };
  });
}

/**
 * Brings the history in line with the files: a changed or renamed migration is recorded as it
 * stands on disk, `forget` drops records. No migration runs.
 * Throws `unknown-version` for a version that is not recorded, and `history-mismatch` for one whose
 * files are gone; nothing is recorded then.
 */
export async function repair(options: RepairOptions): Promise<RepairResult> {
  const pairs = readMigrations(resolveFolders(options));
  return withRun(options, { changes: true }, async ({ session, ledger, writer }) => {
    const { versions = [], forget: forgotten = [] } = options;
    const repairs = planRepair(compareWithLedger(pairs, ledger), { versions, forget: forgotten });
    await withTransaction(session.sql, async () => {
      for (const entry of repairs) await recordRepaired(session.sql, entry, writer);
      for (const version of forgotten) await recordForgotten(session.sql, version, writer);
    });
    return { repaired: repairs.map(({ pair }) => nameOf(pair)), forgotten };
  });
}

/**
 * Records every migration up to and with `version` as applied, without running it: for a database
 * that has the schema already. Throws `history-mismatch` when anything is recorded before.
 */
export async function baseline(options: BaselineOptions): Promise<BaselineResult> {
  const pairs = readMigrations(resolveFolders(options));
  return withRun(options, { changes: true }, async (run) => {
    const { session, ledger, writer } = run;
    requireKnown(compareWithLedger(pairs, { entries: [], journal: [] }), options.version);
    const [first] = ledger.entries;
    if (first) {
      throw new CryptosenseDbError(
        'history-mismatch',
        {
          message: `"${session.server.database}" has a history already`,
          evidence: [`${ledger.entries.length} recorded, the first is ${first.version}`],
          hint: 'a baseline is for a database without one; see: cryptosense-db migrate status',
        },
        { details: { versions: ledger.entries.map(({ version }) => version) } },
      );
    }
    const recorded = pairs.filter(({ version }) => compareVersions(version, options.version) <= 0);
    await prepareUp(session, recorded);
    await requireLedger(run);
    await withTransaction(session.sql, async () => {
      for (const pair of recorded) await recordBaseline(session.sql, pair, writer);
    });
    return { recorded: recorded.map(nameOf) };
  });
}

interface Run {
  readonly session: Session;
  readonly ledger: Ledger;
  /** false: the database has no ledger, and the one here is empty. */
  readonly isRecorded: boolean;
  readonly writer: RunOptions['writer'];
  readonly options: MigrateOptions & RunControl;
}

/** Session, lock and ledger around an operation; only one that changes something takes the lock. */
async function withRun<T>(
  options: MigrateOptions & RunControl,
  { changes }: { readonly changes: boolean },
  work: (run: Run) => Promise<T>,
): Promise<T> {
  const { signal, onProgress, lockTimeoutMs = defaultLockTimeoutMs } = options;
  const target = resolveTarget(options.target);
  const sessionOptions = { signal, onProgress, lockTimeoutMs, isReadOnlyFine: !changes };
  return withSession(target, sessionOptions, async (session) => {
    requireServerVersion(session);
    const writer = { pid: session.pid, toolVersion: toolVersion() };
    const readAndWork = async () => {
      const ledger = await readLedger(session);
      const isRecorded = ledger !== undefined;
      return work({ session, writer, options, ledger: ledger ?? emptyLedger, isRecorded });
    };
    return changes
      ? withMigrationLock(session, { lockTimeoutMs, onProgress }, readAndWork)
      : readAndWork();
  });
}

/** Creates the ledger where there is none: after all checks, so that what they refuse leaves nothing. */
async function requireLedger({ session, isRecorded }: Run): Promise<void> {
  await (isRecorded ? requireWritable(session) : createLedger(session));
}

/** Reads the files of both ways and finds them fit to run, before the first of them does. */
async function prepareUp(
  session: Session,
  pairs: readonly MigrationPair[],
): Promise<readonly Step[]> {
  if (pairs.length === 0) return [];
  const { parsePairs } = await import('./statements.ts');
  const scripts = await parsePairs(pairs);
  if (scripts.some(({ needsTimescale }) => needsTimescale)) await requireTimescale(session);
  const scriptOf = new Map(scripts.map((script) => [script.file, script]));
  return pairs.flatMap((pair): Step[] => {
    const { version, description, migration } = pair;
    const script = scriptOf.get(migration);
    const { checksum } = migration;
    return script ? [{ direction: 'up', version, description, checksum, script, pair }] : [];
  });
}

async function prepareDown(
  session: Session,
  entries: readonly LedgerEntry[],
): Promise<readonly Step[]> {
  if (entries.length === 0) return [];
  const texts = await readRollbacks(
    session,
    entries.map(({ version }) => version),
  );
  const { parseScripts } = await import('./statements.ts');
  const files = entries.map(({ version, description }) => {
    const text = texts.get(version) ?? '';
    const name = `${version}_${description}_rollback.sql`;
    return { file: { name, text, checksum: checksumOf(text) }, kind: 'rollback' as const };
  });
  const scripts = await parseScripts(files);
  refuseIrreversible(scripts);
  return entries.flatMap(({ version, description, rollbackChecksum }, index): Step[] => {
    const script = scripts[index];
    const step = { version, description, checksum: rollbackChecksum, pair: undefined };
    return script ? [{ direction: 'down', ...step, script }] : [];
  });
}

function refuseIrreversible(scripts: readonly Script[]): void {
  const problems = scripts.flatMap(({ file, irreversible }) =>
    irreversible
      ? [{ message: `${file.name} says that there is no way back`, evidence: [irreversible] }]
      : [],
  );
  if (problems.length > 0) throw new CryptosenseDbError('faulty-statements', problems);
}

function refuseTogether(steps: readonly Step[]): void {
  const problems = steps.flatMap(({ script: { file, transaction, begin } }) => {
    if (transaction === 'none') {
      return [
        {
          message: `${file.name} says "-- Transaction: none" and cannot be part of a single transaction`,
          hint: 'run without --single-transaction',
        },
      ];
    }
    if (begin === 'begin') return [];
    return [
      {
        message: `${file.name} asks for a transaction of its own kind: ${begin}`,
        hint: 'run without --single-transaction',
      },
    ];
  });
  if (problems.length > 0) throw new CryptosenseDbError('faulty-statements', problems);
}

/** Runs the steps, and turns whatever ends them into an error that says how far they came. */
async function execute(
  { session, writer, options }: Run,
  steps: readonly Step[],
  manner: 'one by one' | 'together',
): Promise<readonly CompletedStep[]> {
  const done: CompletedStep[] = [];
  const runOptions = {
    writer,
    tableLockTimeoutMs: options.tableLockTimeoutMs ?? 5_000,
    tableLockRetries: options.tableLockRetries ?? 5,
    onProgress: options.onProgress,
    onCompleted: (step: CompletedStep) => done.push(step),
  };
  try {
    await (manner === 'together' ? runStepsTogether : runSteps)(session, steps, runOptions);
    return done;
  } catch (error) {
    const completed = done.map(({ version }) => version);
    const pending = steps.slice(done.length).map(({ version }) => version);
    if (options.signal?.aborted) throw interrupted({ completed, pending });
    const cause = error instanceof StatementError ? error.cause : error;
    if (isConnectionLost(cause)) {
      throw connectionLost(session.target, { cause, completed, pending });
    }
    if (!(error instanceof StatementError)) throw error;
    await logFailure(session, error, writer);
    const others = pending.filter((version) => version !== error.step.version);
    throw describeFailure(error, { completed, pending: others });
  }
}

function planned({ direction, version, description }: Step): CompletedStep {
  return { direction, version, description, durationMs: 0 };
}

function summarise(
  { session, ledger }: Run,
  outcome: {
    readonly steps: readonly CompletedStep[];
    readonly pairs: readonly MigrationPair[];
    readonly isDryRun: boolean;
  },
  { environment }: { readonly environment?: Environment | undefined },
): RunResult {
  const { steps, pairs, isDryRun } = outcome;
  const applied = new Set(ledger.entries.map(({ version }) => version));
  if (!isDryRun) {
    for (const { direction, version } of steps) {
      if (direction === 'up') applied.add(version);
      else applied.delete(version);
    }
  }
  return {
    database: session.server.database,
    environment: ledger.environment ?? (isDryRun ? undefined : environment),
    steps,
    isDryRun,
    applied: applied.size,
    pending: pairs.filter(({ version }) => !applied.has(version)).map(nameOf),
  };
}

function report({ version, description, state, entry }: MigrationStatus): MigrationReport {
  return {
    version,
    description,
    state,
    appliedAt: entry?.appliedAt,
    appliedBy: entry?.appliedBy,
    durationMs: entry?.durationMs,
  };
}

function nameOf({ version, description }: MigrationPair): MigrationName {
  return { version, description };
}

function extentOf({ to, steps }: ExtentOptions): Extent | undefined {
  if (steps !== undefined && !(Number.isInteger(steps) && steps > 0)) {
    throw new CryptosenseDbError('bad-configuration', {
      message: `the number of steps is ${steps}; it can be a whole number from 1`,
    });
  }
  if (to !== undefined && steps !== undefined) {
    throw new CryptosenseDbError('bad-configuration', {
      message: 'a version and a number of steps are given; only one of them can be',
    });
  }
  if (to !== undefined) return { kind: 'to', version: to };
  return steps === undefined ? undefined : { kind: 'steps', count: steps };
}
