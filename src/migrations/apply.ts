import { setTimeout as sleep } from 'node:timers/promises';
import { type Session, type Sql, withRollback } from '../database/connection.ts';
import { isLockConflict } from '../database/lock.ts';
import { isConnectionLost, isSqlError, sqlErrorCodes, sqlState } from '../database/sql-errors.ts';
import type { ProgressStep } from '../progress.ts';
import { markTransaction, type Writer } from './history.ts';
import { runStatementByStatement } from './journalled.ts';
import type { Statement } from './statements.ts';
import {
  type CompletedStep,
  discardRows,
  ownSession,
  prepareSession,
  type RunOptions,
  runLost,
  StatementError,
  type Step,
  writeHistory,
} from './step.ts';

/**
 * Runs steps in order, each in a transaction of its own with its history row, or statement by
 * statement where the file says `-- Transaction: none`. `onCompleted` is told of each when it is
 * committed. A step that waits too long for a lock is rolled back and tried again.
 *
 * Throws `StatementError`, or what ended the session. On failure the running step is rolled back;
 * of a file without a transaction the finished statements stay, and the journal knows them.
 */
export async function runSteps(
  session: Session,
  steps: readonly Step[],
  options: RunOptions & { readonly onCompleted: (step: CompletedStep) => void },
): Promise<void> {
  let openedAhead: Opening | undefined;
  for (const [index, step] of steps.entries()) {
    session.throwIfInterrupted();
    const progress = describeStep(step, { index, total: steps.length });
    options.onProgress?.({ kind: 'step-started', step: progress });
    const durationMs = await retryOnLock(session, progress, options, async () => {
      if (step.script.transaction === 'none') {
        return runStatementByStatement(session, { step, progress }, options);
      }
      const opening = openedAhead ?? open(session, step, options);
      openedAhead = undefined;
      const outcome = await runInTransaction(
        session,
        { step, opening, next: steps[index + 1] },
        options,
      );
      openedAhead = outcome.openedAhead;
      return outcome.durationMs;
    });
    options.onCompleted(completed(step, durationMs));
    options.onProgress?.({ kind: 'step-finished', step: progress, durationMs });
  }
}

/** Runs all steps in one transaction: all are applied and recorded, or none is. */
export async function runStepsTogether(
  session: Session,
  steps: readonly Step[],
  options: RunOptions & { readonly onCompleted: (step: CompletedStep) => void },
): Promise<void> {
  const { sql } = session;
  const [first] = steps;
  if (!first) return;
  const total = steps.length;
  const whole = describeStep(first, { index: 0, total });
  const done = await retryOnLock(session, whole, options, () =>
    withRollback(sql, async () => {
      const finished: Finished[] = [];
      await sql.unsafe('begin');
      for (const [index, step] of steps.entries()) {
        session.throwIfInterrupted();
        const progress = describeStep(step, { index, total });
        options.onProgress?.({ kind: 'step-started', step: progress });
        await sql.unsafe(`${prepareSession(session, options)}; ${markTransaction(step)}`);
        const durationMs = await runAndRecord(sql, step, options.writer);
        finished.push({ step, progress, durationMs });
      }
      await commit(sql, steps.at(-1) ?? first);
      return finished;
    }),
  );
  // Told only now: until the one COMMIT nothing is applied.
  for (const { step, progress, durationMs } of done) {
    options.onCompleted(completed(step, durationMs));
    options.onProgress?.({ kind: 'step-finished', step: progress, durationMs });
  }
}

interface Finished {
  readonly step: Step;
  readonly progress: ProgressStep;
  readonly durationMs: number;
}

function completed({ direction, version, description }: Step, durationMs: number): CompletedStep {
  return { direction, version, description, durationMs };
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

/** A transaction on its way to be open; settles without being waited for. */
type Opening = Promise<PromiseSettledResult<unknown>[]>;

/** A session as new, and the step's transaction in it. */
function open(session: Session, step: Step, options: RunOptions): Opening {
  const { sql } = session;
  return Promise.allSettled([
    sql.unsafe(prepareSession(session, options)).execute(),
    // On lines of their own: a BEGIN with options may end in a comment.
    sql.unsafe(`${step.script.begin}\n;${markTransaction(step)}`).execute(),
  ]);
}

/**
 * The step's statements, its history row and COMMIT go to the server together, and so does the
 * opening of the next step's transaction. A statement that fails makes the COMMIT a ROLLBACK, and
 * so does a history row that finds itself in another transaction; COMMIT's own answer says so.
 */
async function runInTransaction(
  session: Session,
  run: { readonly step: Step; readonly opening: Opening; readonly next: Step | undefined },
  options: RunOptions,
): Promise<{ readonly durationMs: number; readonly openedAhead: Opening | undefined }> {
  const { sql } = session;
  const { step, opening, next } = run;
  let openedAhead: Opening | undefined;
  return withRollback(sql, async () => {
    // Nothing follows before it is open: after a BEGIN that was cancelled, each would commit alone.
    const [failure] = failuresOf(await opening);
    if (failure !== undefined) throw inStatement(step, step.script.statements[0], failure);
    const durationMs = await runAndRecord(sql, step, options.writer, () => {
      const committed = commit(sql, step);
      if (next?.script.transaction === 'own') openedAhead = open(session, next, options);
      return committed;
    });
    return { durationMs, openedAhead };
  });
}

const statementsInFlight = 64;

/** All statements, the history write and what `finish` sends, without waiting for each answer. */
async function runAndRecord(
  sql: Sql,
  step: Step,
  writer: Writer,
  finish?: () => Promise<unknown>,
): Promise<number> {
  const { statements, rollsBackToSavepoint } = step.script;
  // Behind a ROLLBACK TO, the history row would not notice that a statement has failed.
  const waited = rollsBackToSavepoint ? statements.length : statementsBeforeLastFlight(statements);
  for (let from = 0; from < waited; from += statementsInFlight) {
    const flight = statements.slice(from, Math.min(from + statementsInFlight, waited));
    await settle(step, sendStatements(sql, step, flight));
  }
  const sent = sendStatements(sql, step, statements.slice(waited));
  const owner = sql.unsafe(ownSession).execute();
  const recorded = writeHistory(sql, step, writer);
  await settle(step, [...sent, owner, recorded, finish?.()]);
  return recorded;
}

function statementsBeforeLastFlight({ length }: readonly Statement[]): number {
  return Math.max(0, length - 1 - ((length - 1) % statementsInFlight));
}

function sendStatements(
  sql: Sql,
  step: Step,
  statements: readonly Statement[],
): readonly Promise<unknown>[] {
  return statements.map((statement) =>
    discardRows(sql.unsafe(statement.text)).catch((error: unknown) => {
      throw inStatement(step, statement, error);
    }),
  );
}

/** Waits for all; the first real failure wins over the ones that an aborted transaction causes. */
async function settle(
  step: Step,
  sent: readonly (PromiseLike<unknown> | undefined)[],
): Promise<void> {
  const failures = failuresOf(await Promise.allSettled(sent));
  const failure = failures.find((error) => !isFollowUp(error)) ?? failures[0];
  if (failure === undefined) return;
  throw atTheEnd(step, failure);
}

function failuresOf(results: readonly PromiseSettledResult<unknown>[]): unknown[] {
  return results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
}

function isFollowUp(error: unknown): boolean {
  const cause = error instanceof StatementError ? error.cause : error;
  return sqlState(cause) === sqlErrorCodes.inFailedTransaction;
}

/** A transaction that has failed is rolled back by COMMIT, which is no error to the server. */
async function commit(sql: Sql, step: Step): Promise<void> {
  const { command } = await sql.unsafe('commit').catch((error: unknown) => {
    throw atTheEnd(step, error);
  });
  if (command !== 'COMMIT') throw runLost(step);
}

/** What fails at the end of a file, deferred constraints say, has no statement of its own. */
function atTheEnd(step: Step, error: unknown): unknown {
  return inStatement(step, step.script.statements.at(-1), error);
}

/** The server's refusal, as one of a statement; a lost connection stays what it is. */
function inStatement(step: Step, statement: Statement | undefined, error: unknown): unknown {
  const isRefusal = isSqlError(error) && !isConnectionLost(error);
  return statement && isRefusal ? new StatementError(step, statement, error) : error;
}
