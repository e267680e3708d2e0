import { setTimeout as sleep } from 'node:timers/promises';
import {
  quoteIdentifier,
  type Session,
  type Sql,
  withRollback,
  withTransaction,
} from '../database/connection.ts';
import { isLockConflict } from '../database/lock.ts';
import { isConnectionLost, isSqlError, sqlErrorCodes, sqlState } from '../database/sql-errors.ts';
import { CryptosenseDbError } from '../errors.ts';
import type { Direction, OnProgress, ProgressStep } from '../progress.ts';
import {
  type JournalEntry,
  journalFinish,
  journalStart,
  journalWithdraw,
  markTransaction,
  recordApplied,
  recordFailure,
  recordRolledBack,
  type Writer,
  type Written,
} from './ledger.ts';
import type { RunMode } from './run-mode.ts';
import { type Checksum, checksumOf, type MigrationPair } from './source.ts';
import type { Script, Statement } from './statements.ts';
import type { Version } from './version.ts';

/** One migration or rollback that is about to run. */
export interface Step {
  readonly direction: Direction;
  readonly version: Version;
  readonly description: string;
  readonly checksum: Checksum;
  readonly script: Script;
  /** What the ledger records of a step up. */
  readonly pair: MigrationPair | undefined;
}

/** A step that is committed. */
export interface CompletedStep {
  readonly direction: Direction;
  readonly version: Version;
  readonly description: string;
  readonly durationMs: number;
}

export interface RunOptions {
  readonly writer: Writer;
  /** How long a statement waits for a table lock before the step is rolled back and tried again. */
  readonly tableLockTimeoutMs: number;
  readonly tableLockRetries: number;
  readonly onProgress?: OnProgress | undefined;
}

/** A statement's failure on its way up: where it stands in its file, and the server's error. */
export class StatementError extends Error {
  readonly step: Step;
  readonly statement: Statement;

  constructor(step: Step, statement: Statement, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.step = step;
    this.statement = statement;
  }
}

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
  for (const [index, step] of steps.entries()) {
    session.throwIfInterrupted();
    const progress = describeStep(step, { index, total: steps.length });
    options.onProgress?.({ kind: 'step-started', step: progress });
    const durationMs = await retryOnLock(session, progress, options, () =>
      step.script.transaction === 'own'
        ? runInTransaction(session, step, options)
        : runStatementByStatement(session, { step, progress }, options),
    );
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
      const finished: { readonly step: Step; readonly durationMs: number }[] = [];
      await sql.unsafe('begin');
      for (const [index, step] of steps.entries()) {
        session.throwIfInterrupted();
        const progress = describeStep(step, { index, total });
        options.onProgress?.({ kind: 'step-started', step: progress });
        await sql.unsafe(`${prepareSession(session, options)}; ${markTransaction}`);
        const durationMs = await runAndRecord(sql, step, options.writer);
        finished.push({ step, durationMs });
        options.onProgress?.({ kind: 'step-finished', step: progress, durationMs });
      }
      await commit(sql, steps.at(-1) ?? first);
      return finished;
    }),
  );
  for (const { step, durationMs } of done) options.onCompleted(completed(step, durationMs));
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
      if (!isLockConflict(cause) || retry >= tableLockRetries) throw error;
      const delayMs = Math.min(firstRetryMs * 2 ** retry, lastRetryMs) * (0.75 + Math.random() / 2);
      const reason = cause instanceof Error ? cause.message : String(cause);
      onProgress?.({ kind: 'step-retried', step, reason, delayMs });
      await sleep(delayMs, undefined, session.signal && { signal: session.signal });
    }
  }
}

/**
 * Each file starts from a session as new, as if psql ran it alone: settings, role and temporary
 * tables of the file before it are gone. client_connection_check_interval lets the server notice
 * that the tool is gone in the middle of a long statement; WebAssembly has no socket to check.
 */
function prepareSession({ target }: Session, { tableLockTimeoutMs }: RunOptions): string {
  return [
    'reset session authorization',
    'reset role',
    'reset all',
    'discard temp',
    `set lock_timeout = ${Math.round(tableLockTimeoutMs)}`,
    ...(target.kind === 'server' ? ["set client_connection_check_interval = '2s'"] : []),
  ].join('; ');
}

async function runInTransaction(
  session: Session,
  step: Step,
  options: RunOptions,
): Promise<number> {
  const { sql } = session;
  return withRollback(sql, async () => {
    // Nothing follows before it is open: after a BEGIN that was cancelled, each would commit alone.
    await Promise.all([
      sql.unsafe(prepareSession(session, options)).execute(),
      // On lines of their own: a BEGIN with options may end in a comment.
      sql.unsafe(`${step.script.begin}\n;${markTransaction}`).execute(),
    ]);
    const durationMs = await runAndRecord(sql, step, options.writer);
    await commit(sql, step);
    return durationMs;
  });
}

const statementsInFlight = 64;

/** All statements and the history write in one pipeline, without waiting for each answer. */
async function runAndRecord(sql: Sql, step: Step, writer: Writer): Promise<number> {
  const { statements } = step.script;
  const last = Math.max(0, statements.length - 1 - ((statements.length - 1) % statementsInFlight));
  for (let from = 0; from < last; from += statementsInFlight) {
    await settle(
      step,
      sendStatements(sql, step, statements.slice(from, from + statementsInFlight)),
    );
  }
  const sent = sendStatements(sql, step, statements.slice(last));
  // A file may have set a role that may not write the history.
  const owner = sql.unsafe('reset session authorization; reset role');
  const record = writeHistory(sql, step, writer);
  const answers = await settle(step, [...sent, owner.execute(), record.execute()]);
  const [written] = (answers.at(-1) ?? []) as readonly Written[];
  if (!written) throw transactionLost(step);
  return written.durationMs;
}

function writeHistory(sql: Sql, { direction, version, pair }: Step, writer: Writer) {
  return direction === 'up' && pair
    ? recordApplied(sql, pair, writer)
    : recordRolledBack(sql, version, writer);
}

function sendStatements(
  sql: Sql,
  step: Step,
  statements: readonly Statement[],
): readonly Promise<unknown>[] {
  return statements.map((statement) =>
    sql
      .unsafe(statement.text)
      .execute()
      .catch((error: unknown) => {
        throw isConnectionLost(error) ? error : new StatementError(step, statement, error);
      }),
  );
}

/** Waits for all; the first real failure wins over the ones that an aborted transaction causes. */
async function settle(step: Step, sent: readonly PromiseLike<unknown>[]): Promise<unknown[]> {
  const results = await Promise.allSettled(sent);
  const failures = results.flatMap((result) =>
    result.status === 'rejected' ? [result.reason] : [],
  );
  const failure = failures.find((error) => !isFollowUp(error)) ?? failures[0];
  if (failure === undefined) {
    return results.map((result) => (result.status === 'fulfilled' ? result.value : undefined));
  }
  throw isSqlError(failure) ? atTheEnd(step, failure) : failure;
}

function isFollowUp(error: unknown): boolean {
  const cause = error instanceof StatementError ? error.cause : error;
  return sqlState(cause) === sqlErrorCodes.inFailedTransaction;
}

async function commit(sql: Sql, step: Step): Promise<void> {
  await sql.unsafe('commit').catch((error: unknown) => {
    throw isSqlError(error) && !isConnectionLost(error) ? atTheEnd(step, error) : error;
  });
}

/** What fails at the end of a file, deferred constraints say, has no statement of its own. */
function atTheEnd(step: Step, error: unknown): StatementError | unknown {
  const last = step.script.statements.at(-1);
  return last && !isConnectionLost(error) ? new StatementError(step, last, error) : error;
}

function transactionLost({ script }: Step): CryptosenseDbError<'faulty-statements'> {
  return new CryptosenseDbError('faulty-statements', {
    message: `${script.file.name} left the transaction it was run in`,
    evidence: ['its history row could not be written in the same transaction, so neither was kept'],
    hint: 'take COMMIT, ROLLBACK and RESET ALL out of the file and of what it calls',
  });
}

async function runStatementByStatement(
  session: Session,
  { step, progress }: { readonly step: Step; readonly progress: ProgressStep },
  options: RunOptions,
): Promise<number> {
  const { sql } = session;
  const startedAt = performance.now();
  await sql.unsafe(prepareSession(session, options));
  const journal = await readJournal(sql, step);
  refuseOtherStatements(step, journal);

  for (const [position, statement] of step.script.statements.entries()) {
    session.throwIfInterrupted();
    const before = journal.get(position);
    if (before?.isFinished && statement.run.kind !== 'session') continue;
    options.onProgress?.({ kind: 'statement-started', step: progress, position });
    const journalled = { step, statement, position, before };
    await runJournalled(session, journalled, options).catch((error: unknown) => {
      throw isSqlError(error) && !isConnectionLost(error)
        ? new StatementError(step, statement, error)
        : error;
    });
  }

  await withRollback(sql, async () => {
    await sql.unsafe(`reset session authorization; reset role; begin; ${markTransaction}`);
    const [written] = await writeHistory(sql, step, options.writer);
    if (!written) throw transactionLost(step);
    await sql.unsafe('commit');
  });
  return Math.round(performance.now() - startedAt);
}

/** Read anew on each attempt: a retry has to know what the attempt before it did. */
async function readJournal(
  sql: Sql,
  { version, direction }: Step,
): Promise<ReadonlyMap<number, JournalEntry>> {
  const rows = await sql<JournalEntry[]>`
    select version, direction, position, checksum, finished_at is not null as "isFinished"
    from cryptosense_db.migration_journal
    where version = ${version} and direction = ${direction}`;
  return new Map(rows.map((row) => [row.position, row]));
}

/** A statement that has run may not be edited before the file is taken up again. */
function refuseOtherStatements(step: Step, journal: ReadonlyMap<number, JournalEntry>): void {
  const { file, statements } = step.script;
  const edited = [...journal.values()].find(
    ({ position, checksum, isFinished }) =>
      isFinished && checksum !== checksumOf(statements[position]?.text ?? ''),
  );
  if (!edited) return;
  throw new CryptosenseDbError(
    'history-mismatch',
    {
      message: `${file.name} was applied in part, and a statement that had run has changed since`,
      evidence: [`statement ${edited.position + 1} is not the one that ran`],
      hint: `restore it, or put the schema right by hand and drop the record with: cryptosense-db migrate repair --forget ${step.version}`,
    },
    { details: { versions: [step.version] } },
  );
}

interface JournalledStatement {
  readonly step: Step;
  readonly statement: Statement;
  readonly position: number;
  /** What the journal says of it from an earlier attempt. */
  readonly before: JournalEntry | undefined;
}

async function runJournalled(
  session: Session,
  { step, statement, position, before }: JournalledStatement,
  { writer, tableLockTimeoutMs }: RunOptions,
): Promise<void> {
  const { sql } = session;
  const { run, text } = statement;
  const entry = {
    version: step.version,
    direction: step.direction,
    position,
    checksum: checksumOf(text),
  };
  if (run.kind === 'session') {
    await sql.unsafe(text);
    return;
  }
  if (run.kind === 'in-transaction') {
    await withTransaction(sql, async () => {
      await sql.unsafe(text);
      await sql.unsafe(ownRole);
      requireOne(step, await journalStart(sql, entry, writer));
      requireOne(step, await journalFinish(sql, entry, writer));
    });
    return;
  }
  await withOwnRole(sql, async () => requireOne(step, await journalStart(sql, entry, writer)));
  const isWaitEndless = isPatient(step, run);
  if (isWaitEndless) await sql.unsafe('set lock_timeout = 0');
  const isUnchanged = before?.checksum === entry.checksum;
  if (!before || !(await isAlreadyDone(sql, statement, { isUnchanged }))) {
    const toRun = session.target.kind === 'embedded' ? withoutConcurrently(statement) : text;
    await sql.unsafe(toRun).catch(async (error: unknown) => {
      // Else the next run would take the index that stands in the way for this one's own.
      if (sqlState(error) === sqlErrorCodes.duplicateTable) {
        await withOwnRole(sql, async () => journalWithdraw(sql, entry));
      }
      throw error;
    });
  }
  if (isWaitEndless) await sql.unsafe(`set lock_timeout = ${Math.round(tableLockTimeoutMs)}`);
  await withOwnRole(sql, async () => requireOne(step, await journalFinish(sql, entry, writer)));
}

/** A file may have set a role that may not write the journal; it is that role again afterwards. */
const ownRole = 'set local session authorization default; set local role none';

function withOwnRole<T>(sql: Sql, work: () => Promise<T>): Promise<T> {
  return withTransaction(sql, async () => {
    await sql.unsafe(ownRole);
    return work();
  });
}

/**
 * The embedded engine refuses what works concurrently ("tuple concurrently updated", PGlite issue
 * 901). It has one session, which no lock can hinder, so there the plain form does the same.
 */
function withoutConcurrently({ text, run }: Statement): string {
  const isIndex = run.kind === 'build-index' || run.kind === 'drop-index';
  return isIndex ? text.replace(/\bconcurrently\b/i, '') : text;
}

/**
 * What works concurrently waits for every transaction that sees the table, and blocks none of
 * them: a timeout would only waste the work. A file that sets one of its own has it.
 */
function isPatient({ script }: Step, run: RunMode): boolean {
  const isConcurrent =
    run.kind === 'drop-index' || (run.kind === 'build-index' && run.isConcurrent);
  const setsTimeout = ({ text, run: { kind } }: Statement) =>
    kind === 'session' && /\block_timeout\b/i.test(text);
  return isConcurrent && !script.statements.some(setsTimeout);
}

function requireOne({ script }: Step, rows: readonly unknown[]): void {
  if (rows.length > 0) return;
  throw new CryptosenseDbError('pooler-refused', {
    message: `${script.file.name} was moved to another server process in the middle`,
    evidence: ['a pooler in transaction mode stands between this tool and the server'],
    hint: "connect to the server's own port, or to a pool in session mode",
  });
}

/**
 * What an interrupted statement left. An index that was built to the end is valid, and is what the
 * statement asks for unless that was edited since; one that was not is invalid, hinders the next
 * build, and is dropped here.
 */
async function isAlreadyDone(
  sql: Sql,
  { run }: Statement,
  { isUnchanged }: { readonly isUnchanged: boolean },
): Promise<boolean> {
  if (run.kind === 'drop-index') {
    const [found] =
      await sql`select where to_regclass(${quoteIdentifier(...run.index)}) is not null`;
    return !found;
  }
  if (run.kind !== 'build-index') return false;
  const [index] = await sql<{ isValid: boolean; schema: string }[]>`
    select i.indisvalid as "isValid", c.relnamespace::regnamespace::text as schema
    from pg_index i join pg_class c on c.oid = i.indexrelid
    where i.indrelid = to_regclass(${quoteIdentifier(...run.table)}) and c.relname = ${run.index}`;
  if (!index) return false;
  if (index.isValid) return isUnchanged;
  const how = run.isConcurrent ? 'concurrently ' : '';
  await sql.unsafe(`drop index ${how}${index.schema}.${quoteIdentifier(run.index)}`);
  return false;
}

/** Leaves a line in the log; what failed before is the error that counts. */
export async function logFailure(
  { sql }: Session,
  { step, cause }: StatementError,
  writer: Writer,
): Promise<void> {
  const { version, description, checksum } = step;
  const detail = cause instanceof Error ? cause.message : String(cause);
  await sql
    .unsafe('reset session authorization; reset role')
    .then(() => recordFailure(sql, { version, description, checksum, detail }, writer))
    .catch(() => {});
}
