import { setTimeout as sleep } from 'node:timers/promises';
import { type Session, type Sql, withRollback } from '../database/connection.ts';
import { isLockConflict } from '../database/lock.ts';
import { markTransaction, nameOfMark, prepareRecord, recordStep } from '../ledger/history.ts';
import type { ProgressStep } from '../runtime/progress.ts';
import { type Batch, type BatchWatch, composeBatches, runBatch } from './batch.ts';
import { runStatementByStatement } from './journalled.ts';
import {
  type CompletedStep,
  freshSession,
  ownSession,
  type RunOptions,
  runLost,
  StatementError,
  type Step,
} from './step.ts';

export interface StepsOptions extends RunOptions {
  readonly onCompleted: (step: CompletedStep) => void;
}

/**
 * Runs steps in order, each in a transaction of its own with its history row, or statement by
 * statement where the file says `-- Transaction: none`. `onCompleted` is told of each when it is
 * committed. A step that waits too long for a lock is rolled back and tried again.
 *
 * The server has the next step before it has answered for this one, and runs nothing of it unless this one is
 * committed.
 *
 * Throws `StatementError`, what ended the session, or what a callback threw. On failure the running step is
 * rolled back; of a file without a transaction the finished statements stay, and the journal knows them.
 */
export async function runSteps(
  session: Session,
  steps: readonly Step[],
  options: StepsOptions,
): Promise<void> {
  await prepareSession(session, steps, options);
  const held = holdBack(options);
  const total = steps.length;
  const runs = steps.map((step, index) => ({
    step,
    report: reportOf(step, { index, total }, held.options),
  }));
  let ahead: Promise<void> | undefined;
  for (const [index, { step, report }] of runs.entries()) {
    report.started();
    // One that was sent ahead may be committed whatever happens: its outcome is waited for.
    if (!ahead) session.throwIfInterrupted();
    const sendNext = () => {
      const next = runs[index + 1];
      if (!next || held.isHolding() || session.signal?.aborted) return;
      const onOpened = () => {
        report.finished();
        next.report.started();
      };
      const watch = { onOpened, onRecorded: next.report.recorded };
      ahead = sendAhead(session, { step: next.step, previous: step }, options, watch);
    };
    await retryOnLock(session, report.step, held.options, async () => {
      if (!ahead) held.release();
      if (step.script.transaction === 'none') {
        const ran = { step, progress: report.step };
        report.recorded(await runStatementByStatement(session, ran, options));
        return;
      }
      const sent = ahead;
      ahead = undefined;
      await withRollback(session.sql, async () => {
        if (sent) sendNext();
        await (sent ?? runInTransaction(session, step, options, { report, sendNext }));
      }).catch((error: unknown) => {
        // It has not run; after a retry of this one it is sent again.
        ahead = undefined;
        throw error;
      });
    });
    report.finished();
  }
  held.release();
}

/**
 * Keeps what a callback throws until `release`, and calls none from then on. Thrown inside the driver it would be
 * taken for the end of a query, which goes on.
 */
function holdBack({ onProgress, onCompleted, ...options }: StepsOptions) {
  let thrown: { readonly error: unknown } | undefined;
  const guard =
    <E>(callback: (event: E) => void) =>
    (event: E) => {
      try {
        if (!thrown) callback(event);
      } catch (error) {
        thrown = { error };
      }
    };
  return {
    options: { ...options, onCompleted, onProgress: onProgress && guard(onProgress) },
    isHolding: () => thrown !== undefined,
    release: () => {
      if (thrown) throw thrown.error;
    },
  };
}

/** Runs all steps in one transaction: all are applied and recorded, or none is. */
export async function runStepsTogether(
  session: Session,
  steps: readonly Step[],
  options: StepsOptions,
): Promise<void> {
  const { sql } = session;
  const [first] = steps;
  if (!first) return;
  await prepareSession(session, steps, options);
  const total = steps.length;
  const reports = new Map(
    steps.map((step, index) => [step, reportOf(step, { index, total }, options)]),
  );
  const whole = describeStep(first, { index: 0, total });
  await retryOnLock(session, whole, options, () =>
    withRollback(sql, async () => {
      await sql.unsafe('begin');
      for (const [step, { started, recorded }] of reports) {
        session.throwIfInterrupted();
        started();
        const batches = composeBatches(step, {
          opening: [markTransaction(step)],
          leaving: ownSession,
          ending: [recordStep(step), ...freshSession(session, options)],
        });
        for (const batch of batches) {
          await runBatch(sql, step, batch, { onRecorded: recorded });
        }
      }
      const last = steps.at(-1) ?? first;
      await runLastBatch(sql, last, commitOf(last));
    }),
  );
  // Told only now: until the one COMMIT nothing is applied.
  for (const { finished } of reports.values()) finished();
}

function commitOf({ script: { statements } }: Step): Batch {
  return { text: 'commit', statements: [], before: statements.length };
}

/** What is told of a step, each once. */
interface Report {
  readonly step: ProgressStep;
  readonly started: () => void;
  readonly recorded: (durationMs: number) => void;
  readonly finished: () => void;
}

function reportOf(
  step: Step,
  place: { readonly index: number; readonly total: number },
  { onProgress, onCompleted }: StepsOptions,
): Report {
  const progress = describeStep(step, place);
  const { direction, version, description } = step;
  let isStarted = false;
  let isFinished = false;
  let durationMs = 0;
  return {
    step: progress,
    started: () => {
      if (!isStarted) onProgress?.({ kind: 'step-started', step: progress });
      isStarted = true;
    },
    recorded: (ms) => {
      durationMs = ms;
    },
    finished: () => {
      if (isFinished) return;
      isFinished = true;
      onCompleted({ direction, version, description, durationMs });
      onProgress?.({ kind: 'step-finished', step: progress, durationMs });
    },
  };
}

function describeStep(
  { direction, version, description }: Step,
  { index, total }: { readonly index: number; readonly total: number },
): ProgressStep {
  return { direction, version, description, index: index + 1, total };
}

const firstRetryMs = 500;
const lastRetryMs = 8_000;

/** The table lock was not to be had, and the step is rolled back: wait, so that traffic drains. */
async function retryOnLock<T>(
  session: Session,
  step: ProgressStep,
  { tableLockRetries, onProgress }: RunOptions,
  attempt: () => Promise<T>,
): Promise<T> {
  for (let retry = 0; ; retry += 1) {
    try {
      return await attempt();
    } catch (error) {
      const cause = error instanceof StatementError ? error.cause : error;
      if (!isLockConflict(cause) || !isRepeatable(error) || retry >= tableLockRetries) throw error;
      const delayMs = Math.min(firstRetryMs * 2 ** retry, lastRetryMs) * (0.75 + Math.random() / 2);
      const reason = cause instanceof Error ? cause.message : String(cause);
      onProgress?.({ kind: 'step-retried', step, reason, delayMs });
      await sleep(delayMs, undefined, session.signal && { signal: session.signal });
    }
  }
}

/** A procedure or a DO block that runs alone may have committed a part of its work. */
function isRepeatable(error: unknown): boolean {
  if (!(error instanceof StatementError)) return true;
  const { step, statement } = error;
  return step.script.transaction === 'own' || statement.run.kind !== 'alone';
}

/** Prepares what records the steps, and makes the session as new for the first file. */
async function prepareSession(
  session: Session,
  steps: readonly Step[],
  options: RunOptions,
): Promise<void> {
  const directions = new Set(steps.map(({ direction }) => direction));
  const records = [...directions].map((direction) => prepareRecord(direction, options.writer));
  // Planned for the search_path that they run with.
  const statements = [...ownSession, ...records, ...freshSession(session, options)];
  await session.sql.unsafe(statements.join(';\n'));
}

/** A setting that is kept when the transaction is committed, and says which step it was. */
const committedSetting = 'cryptosense_db.committed';

/** Fails unless the step was the last that this session has committed. */
function requireCommitted(step: Step): string {
  return `
  select (case current_setting('${committedSetting}', true)
    when '${nameOfMark(step)}' then '0' else 'the step before this one is not committed' end)::integer`;
}

/** What COMMIT would run, and as there statement_timeout does not end it. */
const runDeferred = ['set local statement_timeout = 0', 'set constraints all immediate'];

/** The step in a transaction of its own. What is deferred runs with the role and settings of its file. */
function composeTransaction(
  session: Session,
  { step, previous }: { readonly step: Step; readonly previous?: Step },
  options: RunOptions,
): readonly Batch[] {
  return composeBatches(step, {
    opening: [
      step.script.begin,
      ...(previous ? [requireCommitted(previous)] : []),
      markTransaction(step),
    ],
    leaving: [...runDeferred, ...ownSession],
    ending: [
      recordStep(step),
      ...freshSession(session, options),
      `set ${committedSetting} = '${nameOfMark(step)}'`,
      'commit',
    ],
  });
}

/** Runs the step; `sendNext` is called when all of it is on its way. */
async function runInTransaction(
  session: Session,
  step: Step,
  options: RunOptions,
  { report, sendNext }: { readonly report: Report; readonly sendNext: () => void },
): Promise<void> {
  const { sql } = session;
  const watch = { onRecorded: report.recorded };
  const batches = composeTransaction(session, { step }, options);
  for (const batch of batches.slice(0, -1)) await runBatch(sql, step, batch, watch);
  const committed = runLastBatch(sql, step, batches.at(-1), watch);
  sendNext();
  await committed;
}

/** Sends a step that fits into one batch, while the one before it runs; undefined for any other. */
function sendAhead(
  session: Session,
  { step, previous }: { readonly step: Step; readonly previous: Step },
  options: RunOptions,
  watch: BatchWatch,
): Promise<void> | undefined {
  if (step.script.transaction === 'none') return undefined;
  const [batch, ...others] = composeTransaction(session, { step, previous }, options);
  if (others.length > 0) return undefined;
  const outcome = runLastBatch(session.sql, step, batch, watch);
  // Nobody waits for it where the step before has failed.
  outcome.catch(() => {});
  return outcome;
}

/** A transaction that has failed is rolled back by COMMIT, which is no error to the server. */
async function runLastBatch(
  sql: Sql,
  step: Step,
  batch: Batch | undefined,
  watch?: BatchWatch,
): Promise<void> {
  const command = batch && (await runBatch(sql, step, batch, watch));
  if (command !== 'COMMIT') throw runLost(step);
}
