import { setImmediate as immediate } from 'node:timers/promises';
import { type Session, withRollback, withSession } from '../database/connection.ts';
import { defaultLockTimeoutMs, withMigrationLock } from '../database/lock.ts';
import { connectionLost, interrupted } from '../database/refusals.ts';
import { requireServerVersion } from '../database/requirements.ts';
import { isConnectionLost } from '../database/sql-errors.ts';
import { resolveTarget } from '../database/target.ts';
import { CryptosenseDbError } from '../errors.ts';
import { toolVersion } from '../package.ts';
import { runSteps, runStepsTogether } from './apply.ts';
import { describeFailure } from './failure.ts';
import { createLedger, emptyLedger, type Ledger, readLedger, requireWritable } from './ledger.ts';
import type { MigrateOptions, RunControl } from './options.ts';
import {
  type CompletedStep,
  logFailure,
  type RunOptions,
  StatementError,
  type Step,
} from './step.ts';

export interface Run {
  readonly session: Session;
  readonly ledger: Ledger;
  /** false: the database has no ledger, and the one here is empty. */
  readonly isRecorded: boolean;
  readonly writer: RunOptions['writer'];
  readonly options: MigrateOptions & RunControl;
}

/** Session, lock and ledger around an operation; only one that changes something takes the lock. */
export async function withRun<T>(
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

/**
 * The outcome of `check`, with a ledger that can be written to. Where there is none it is created
 * while `check` works, and what `check` throws leaves nothing of it.
 */
export async function withLedger<T>(
  { session, isRecorded }: Run,
  check: () => Promise<T>,
): Promise<T> {
  if (isRecorded) {
    const outcome = await check();
    await requireWritable(session);
    return outcome;
  }
  const { sql } = session;
  return withRollback(sql, async () => {
    const creating = createLedger(session);
    // Settled below. It is on its way before the check, which keeps this thread busy.
    creating.catch(() => {});
    await immediate();
    const [created, checked] = await Promise.allSettled([creating, check()]);
    // In this order: once creating it has failed, so does every query of the check.
    if (created.status === 'rejected') throw created.reason;
    if (checked.status === 'rejected') throw checked.reason;
    await sql.unsafe('commit');
    return checked.value;
  });
}

/** Runs the steps, and turns whatever ends them into an error that says how far they came. */
export async function execute(
  { session, ledger, writer, options }: Run,
  steps: readonly Step[],
  manner: 'one by one' | 'together',
): Promise<readonly CompletedStep[]> {
  refuseUnjournalled(steps, ledger);
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

/** A file that ran in part without a transaction would run its finished statements again in one. */
function refuseUnjournalled(steps: readonly Step[], { journal }: Ledger): void {
  const refused = steps.filter(
    ({ version, direction, script }) =>
      script.transaction === 'own' &&
      journal.some((entry) => entry.version === version && entry.direction === direction),
  );
  if (refused.length === 0) return;
  throw new CryptosenseDbError(
    'history-mismatch',
    refused.map(({ version, script }) => ({
      message: `${script.file.name} ran in part, and no longer says "-- Transaction: none"`,
      hint: `restore that line, or put the schema right by hand and drop the record with: cryptosense-db migrate repair --forget ${version}`,
    })),
    { details: { versions: refused.map(({ version }) => version) } },
  );
}
