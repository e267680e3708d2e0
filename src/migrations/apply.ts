import { setTimeout as sleep } from 'node:timers/promises';
import { type Session, type Sql, withRollback } from '../database/connection.ts';
import { isLockConflict } from '../database/lock.ts';
import type { ProgressStep } from '../progress.ts';
import { type Batch, type BatchWatch, composeBatches, runBatch } from './batch.ts';
import { markTransaction, nameOfMark, prepareRecord, recordStep } from './history.ts';
import { runStatementByStatement } from './journalled.ts';
import {
  type CompletedStep,
  discardLeftovers,
  ownRole,
  type RunOptions,
  resetSession,
  resetSettings,
  runLost,
  runSettings,
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
 * Throws `StatementError`, or what ended the session. On failure the running step is rolled back;
 * of a file without a transaction the finished statements stay, and the journal knows them.
 */
export async function runSteps(
  session: Session,
  steps: readonly Step[],
  options: StepsOptions,
): Promise<void> {
  await prepareSession(session, steps, options);
  let ahead: SentAhead | undefined;
  for (const [index, step] of steps.entries()) {
    // One that was sent ahead may be committed whatever happens: its outcome is waited for.
    if (!ahead) session.throwIfInterrupted();
    const report = ahead?.report ?? reportOf(step, { index, total: steps.length }, options);
    report.started();
    const sendNext = () => {
      const next = steps[index + 1];
      if (!next || session.signal?.aborted) return;
      const nextReport = reportOf(next, { index: index + 1, total: steps.length }, options);
      const onOpened = () => {
        report.finished();
        nextReport.started();
      };
      ahead = sendAhead(session, { step: next, previous: step }, options, {
        report: nextReport,
        onOpened,
      });
    };
    await retryOnLock(session, report.step, options, async () => {
      if (step.script.transaction === 'none') {
        const ran = { step, progress: report.step };
        report.recorded(await runStatementByStatement(session, ran, options));
        return;
      }
      const sent = ahead;
      ahead = undefined;
      await withRollback(session.sql, async () => {
        if (sent) sendNext();
        await (sent?.outcome ?? runInTransaction(session, step, options, { report, sendNext }));
      }).catch((error: unknown) => {
        // It has not run; after a retry of this one it is sent again.
        ahead = undefined;
        throw error;
      });
    });
    report.finished();
  }
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
        const around = { opening: opening(session, step, options), ending: ending(step) };
        for (const batch of composeBatches(step, around)) {
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

/** What fails at a COMMIT, deferred constraints say, is laid at the last statement. */
function commitOf({ script: { statements } }: Step): Batch {
  const last = statements.slice(-1).map((statement) => ({ statement, start: 0 }));
  return { text: 'commit', statements: last, before: statements.length - last.length };
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

/** As new for the first file, which every file leaves as new for the one after it. */
async function prepareSession(
  { sql }: Session,
  steps: readonly Step[],
  { writer }: RunOptions,
): Promise<void> {
  const directions = new Set(steps.map(({ direction }) => direction));
  const records = [...directions].map((direction) => prepareRecord(direction, writer));
  await sql.unsafe([...resetSession, ...records].join(';\n'));
}

/** What runs at the start of a step, in its transaction. */
function opening(session: Session, step: Step, options: RunOptions): readonly string[] {
  return [...discardLeftovers, ...runSettings(session, options), markTransaction(step)];
}

/**
 * What runs at its end, in its transaction. The server reads the next batch before anything of it runs, by
 * the settings that it finds.
 */
function ending(step: Step): readonly string[] {
  return [...ownRole, recordStep(step), ...resetSettings];
}

/** A setting that is kept when the transaction is committed, and says which step it was. */
const committedSetting = 'cryptosense_db.committed';

/** Fails unless the step was the last that this session has committed. */
function requireCommitted(step: Step): string {
  return `
  select (case current_setting('${committedSetting}', true)
    when '${nameOfMark(step)}' then '0' else 'the step before this one is not committed' end)::integer`;
}

/** The step in a transaction of its own. What is deferred runs as its file left the session. */
function composeTransaction(
  session: Session,
  { step, previous }: { readonly step: Step; readonly previous?: Step },
  options: RunOptions,
): readonly Batch[] {
  return composeBatches(step, {
    opening: [
      step.script.begin,
      ...(previous ? [requireCommitted(previous)] : []),
      ...opening(session, step, options),
    ],
    ending: [
      'set constraints all immediate',
      ...ending(step),
      `set ${committedSetting} = '${nameOfMark(step)}'`,
      'commit',
    ],
  });
}

interface SentAhead {
  readonly report: Report;
  readonly outcome: Promise<void>;
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
  { report, onOpened }: { readonly report: Report; readonly onOpened: () => void },
): SentAhead | undefined {
  if (step.script.transaction === 'none') return undefined;
  const [batch, ...others] = composeTransaction(session, { step, previous }, options);
  if (others.length > 0) return undefined;
  const watch = { onOpened, onRecorded: report.recorded };
  const outcome = runLastBatch(session.sql, step, batch, watch);
  // Nobody waits for it where the step before has failed.
  outcome.catch(() => {});
  return { report, outcome };
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
