import { type Session, withRollback, withSession } from '../database/connection.ts';
import { isLockConflict, lendMigrationLock, watchBlocker } from '../database/lock.ts';
import { connectionLost, interrupted } from '../database/refusals.ts';
import { isConnectionLost } from '../database/sql-errors.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Run } from '../ledger/run.ts';
import { CryptosenseDbError, describeHolder, isError, messageOf } from '../runtime/errors.ts';
import type { ProgressStep } from '../runtime/progress.ts';
import { backoffMs, retry } from '../runtime/retry.ts';
import { type Batch, composeBatches, runBatches } from './batch.ts';
import { logFailure, migrationFailed, StatementError, transactionLeft } from './failure.ts';
import { runStatementByStatement } from './journalled.ts';
import type { RunControl } from './options.ts';
import {
  type CompletedStep,
  defaultTableLockTimeoutMs,
  freshSession,
  type ObserveStep,
  type Step,
  type StepOptions,
} from './step.ts';
import { leavesTraces, readSessionFacts } from './traces.ts';
import { ownTransaction, sharedTransaction } from './transactions.ts';

/** How the steps of a run share transactions: each has its own, or all have one. */
export type Manner = 'one by one' | 'together';

/**
 * Runs steps in order and returns them with the time that each took. A transaction runs the statements of a step
 * and writes its history row; a file that says `-- Transaction: none` runs statement by statement. A step that waits
 * too long for a table lock is rolled back and tried again.
 *
 * Throws `migration-failed`, `interrupted`, `connection-lost`, `faulty-statements`, `history-mismatch`, and what
 * `onProgress` threw. The details name the committed steps and the others. Of the others, the first may be committed
 * after `connection-lost`, or all of them where they run together: the server had them when the connection broke.
 */
export async function runSteps(
  { session, ledger, writer, onProgress }: Run,
  steps: readonly Step[],
  control: RunControl & {
    readonly manner: Manner;
    /** What an earlier session of the same operation has run. */
    readonly before?: readonly CompletedStep[];
    /** Stands around each step that runs one by one. */
    readonly observe?: ObserveStep | undefined;
  },
): Promise<readonly CompletedStep[]> {
  if (steps.length === 0) return [];
  refuseUnjournalled(steps, ledger);
  const { manner, tableLockTimeoutMs = defaultTableLockTimeoutMs, tableLockRetries = 5 } = control;
  const { observe } = control;
  const options = { writer, tableLockTimeoutMs, tableLockRetries, onProgress, observe };
  const done: CompletedStep[] = [];
  const finish = (step: ProgressStep, durationMs: number) => {
    const { direction, version, description } = step;
    done.push({ direction, version, description, durationMs });
    onProgress?.({ kind: 'step-finished', step, durationMs });
  };
  try {
    await (manner === 'together' ? runTogether : runOneByOne)(session, steps, {
      ...options,
      finish,
    });
    return done;
  } catch (error) {
    const completed = [...(control.before ?? []), ...done].map(({ version }) => version);
    const pending = steps.slice(done.length).map(({ version }) => version);
    if (session.signal?.aborted) throw interrupted({ completed, pending });
    const cause = error instanceof StatementError ? error.cause : error;
    if (isConnectionLost(cause) || isError(error, 'connection-lost')) {
      throw connectionLost(session.target, { cause, completed, pending });
    }
    if (!(error instanceof StatementError)) throw error;
    await logFailure(session, error, writer);
    const others = pending.filter((version) => version !== error.step.version);
    throw migrationFailed(error, { completed, pending: others, user: session.server.user });
  }
}

/** A transaction would repeat the statements that have run when the file had none. */
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
      hint: `restore that line, or repair the schema by hand and drop the record with: cryptosense-db migrate repair --forget ${version}`,
    })),
    { details: { versions: refused.map(({ version }) => version) } },
  );
}

interface RunningOptions extends StepOptions {
  /** To be called when the step is committed. */
  readonly finish: (step: ProgressStep, durationMs: number) => void;
  readonly observe: ObserveStep | undefined;
}

/** Each file begins in the session as it opens: where a reset is not enough for that, in another one. */
async function runOneByOne(
  session: Session,
  steps: readonly Step[],
  options: RunningOptions,
): Promise<void> {
  let next = await runInSession(session, { steps, from: 0 }, options);
  while (next < steps.length) {
    const from = next;
    const { signal, target } = session;
    next = await withSession(target, { signal, onProgress: options.onProgress }, (fresh) =>
      lendMigrationLock(session, fresh, async () => {
        const writer = { ...options.writer, pid: fresh.pid };
        return runInSession(fresh, { steps, from }, { ...options, writer });
      }),
    );
  }
}

/** Runs steps up to one after which the session is not as it was. Returns the index of the next step. */
async function runInSession(
  session: Session,
  { steps, from }: { readonly steps: readonly Step[]; readonly from: number },
  options: RunningOptions,
): Promise<number> {
  await session.sql.unsafe(freshSession(session, options).join('; '));
  const isLast = (index: number) => index + 1 >= steps.length;
  const before = isLast(from) ? undefined : await readSessionFacts(session.sql);
  for (const [index, step] of steps.entries()) {
    if (index < from) continue;
    session.throwIfInterrupted();
    const progress = progressStep(step, { index, total: steps.length });
    options.onProgress?.({ kind: 'step-started', step: progress });
    const run = (beforeCommit?: () => Promise<void>) =>
      retryOnLock(session, progress, options, () =>
        step.script.transaction === 'none'
          ? runStatementByStatement(session, { step, progress }, { ...options, beforeCommit })
          : runInTransaction(session, step, { ...options, beforeCommit }),
      );
    const durationMs = await (options.observe ? options.observe({ session, step }, run) : run());
    options.finish(progress, durationMs);
    const isDone = isLast(index) || !before;
    if (!isDone && (await leavesTraces(session, step.script, before))) return index + 1;
  }
  return steps.length;
}

async function runInTransaction(
  session: Session,
  step: Step,
  options: StepOptions,
): Promise<number> {
  const { sql } = session;
  const { beforeCommit } = options;
  const around = ownTransaction(session, step, options);
  const commit = beforeCommit ? [] : ['commit'];
  const batches = composeBatches(step, { ...around, ending: [...around.ending, ...commit] });
  return withRollback(sql, async () => {
    const { command, durationMs } = await runBatches(sql, batches);
    await beforeCommit?.();
    const ended = beforeCommit ? await runBatches(sql, [commitOf(step)]) : { command };
    if (ended.command !== 'COMMIT') throw transactionLeft(step);
    return durationMs;
  });
}

async function runTogether(
  session: Session,
  steps: readonly Step[],
  options: RunningOptions,
): Promise<void> {
  const { sql } = session;
  const total = steps.length;
  const runs = steps.map((step, index) => ({
    step,
    progress: progressStep(step, { index, total }),
  }));
  const [first, last] = [runs[0], runs.at(-1)];
  if (!first || !last) return;
  await sql.unsafe(freshSession(session, options).join('; '));
  let started = 0;
  const durations = await retryOnLock(session, first.progress, options, () =>
    withRollback(sql, async () => {
      await sql.unsafe('begin');
      const durations: number[] = [];
      for (const [index, { step, progress }] of runs.entries()) {
        session.throwIfInterrupted();
        // Once, however often the transaction is tried.
        if (index === started) {
          started += 1;
          options.onProgress?.({ kind: 'step-started', step: progress });
        }
        const batches = composeBatches(step, sharedTransaction(session, step, options));
        durations.push((await runBatches(sql, batches)).durationMs);
      }
      const { command } = await runBatches(sql, [commitOf(last.step)]);
      if (command !== 'COMMIT') throw transactionLeft(last.step);
      return durations;
    }),
  );
  for (const [index, { progress }] of runs.entries()) {
    options.finish(progress, durations[index] ?? 0);
  }
}

function commitOf(step: Step): Batch {
  return { step, text: 'commit', statements: [], before: step.script.statements.length };
}

function progressStep(
  { direction, version, description }: Step,
  { index, total }: { readonly index: number; readonly total: number },
): ProgressStep {
  return { direction, version, description, index: index + 1, total };
}

/**
 * Tries again when the attempt ended on a lock conflict. The attempt has rolled back, and the pause lets the queries
 * pass that waited behind it.
 */
function retryOnLock<T>(
  session: Session,
  step: ProgressStep,
  { tableLockRetries, tableLockTimeoutMs, onProgress }: StepOptions,
  attempt: () => Promise<T>,
): Promise<T> {
  const { signal } = session;
  const watched = async () => {
    const { result, blocker } = watchBlocker(session, { timeoutMs: tableLockTimeoutMs }, attempt);
    return result.catch((error: unknown) => {
      const isBlocked = error instanceof StatementError && isLockConflict(error.cause);
      throw isBlocked ? error.blockedBy(blocker()) : error;
    });
  };
  return retry(watched, {
    signal,
    waitMs: ({ error, attempts }) => {
      const cause = error instanceof StatementError ? error.cause : error;
      const isUnknown = error instanceof StatementError && error.leavesUnknown;
      const isWorthIt = isLockConflict(cause) && !isUnknown;
      if (!isWorthIt || attempts > tableLockRetries) return undefined;
      const delayMs = backoffMs(attempts, { firstMs: 500, lastMs: 8_000 });
      const blocker = error instanceof StatementError ? error.blocker : undefined;
      const by = blocker ? `, blocked by ${describeHolder(blocker)}` : '';
      onProgress?.({ kind: 'step-retried', step, reason: `${messageOf(cause)}${by}`, delayMs });
      return delayMs;
    },
  });
}
