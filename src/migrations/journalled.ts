import {
  releaseTimescale,
  type Session,
  type Sql,
  withRollback,
  withTransaction,
} from '../database/connection.ts';
import { isConnectionLost, isRefusedInTransaction, isSqlError } from '../database/sql-errors.ts';
import {
  durationColumn,
  isRefusedEntry,
  mayRepeat,
  recordStep,
  tagTransaction,
  type Writer,
} from '../ledger/history.ts';
import {
  type JournalledStatement,
  type JournalRow,
  journalClear,
  journalFinish,
  journalMove,
  journalStart,
  journalWithdraw,
  readJournal,
} from '../ledger/journal.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import { excerpt } from '../runtime/excerpt.ts';
import type { ProgressStep } from '../runtime/progress.ts';
import { indexOfCharacter, locate } from '../sql/location.ts';
import { StatementError, transactionLeft } from './failure.ts';
import { formatMinute } from './mismatch.ts';
import type { Statement } from './parse.ts';
import {
  CleanUpError,
  cleanUp,
  isFree,
  restOf,
  type Standing,
  subjectOf,
  withSchemas,
} from './remains.ts';
import type { Remains } from './run-mode.ts';
import { checksumOf } from './source.ts';
import {
  discardRows,
  freshSession,
  ownSession,
  type Step,
  type StepOptions,
  settingsAfterReset,
  tableLockSetting,
} from './step.ts';
import { requireValid } from './valid-indexes.ts';

/**
 * Runs a file that says `-- Transaction: none`: one statement at a time, each with a journal entry. A statement that
 * can run in a transaction shares one with its journal entry; any other runs alone, between the entry of its start
 * and that of its end. A run after a failure starts with the first statement that has not finished. Returns how long
 * this run took.
 *
 * Throws `history-mismatch` when it cannot tell what an interrupted statement has left.
 */
export async function runStatementByStatement(
  session: Session,
  { step, progress }: { readonly step: Step; readonly progress: ProgressStep },
  options: StepOptions,
): Promise<number> {
  const { sql } = session;
  const startedAt = performance.now();
  await sql.unsafe(freshSession(session, options).join('; '));
  // A retry must know what the attempt before it has finished.
  const journal = await takeUpJournal(sql, step, options);

  for (const [position, statement] of step.script.statements.entries()) {
    session.throwIfInterrupted();
    const before = journal.get(position);
    if (before?.isFinished && statement.run.kind !== 'session') continue;
    options.onProgress?.({ kind: 'statement-started', step: progress, position });
    const journalled = { step, statement, position, before };
    await runJournalled(session, journalled, options).catch((error: unknown) => {
      throw atStatement(error, journalled);
    });
  }

  return withRollback(sql, async () => {
    const elapsedMs = performance.now() - startedAt;
    await sql.unsafe([...ownSession, 'begin', tagTransaction(step, { elapsedMs })].join('; '));
    const durationMs = await record(sql, step, options.writer);
    await journalClear(sql, step.version);
    await sql.unsafe([...freshSession(session, options), 'commit'].join('; '));
    return durationMs;
  });
}

/** The server's error with its statement. Any other error is returned as it came. */
function atStatement(
  error: unknown,
  { step, statement }: Pick<RunningStatement, 'step' | 'statement'>,
  { mayHaveCommitted = false }: { readonly mayHaveCommitted?: boolean } = {},
): unknown {
  if (error instanceof CleanUpError) {
    const { cause, text: cleanUp } = error;
    return isConnectionLost(cause)
      ? cause
      : new StatementError(step, statement, { cause, cleanUp });
  }
  if (!isSqlError(error) || isConnectionLost(error)) return error;
  const { position } = error;
  const offset = position ? indexOfCharacter(statement.text, Number(position) - 1) : 0;
  return new StatementError(step, statement, { cause: error, offset, mayHaveCommitted });
}

async function record(sql: Sql, step: Step, writer: Writer): Promise<number> {
  const [row] = await sql.unsafe(recordStep(step, writer)).catch((error: unknown) => {
    throw isRefusedEntry(error) ? transactionLeft(step) : error;
  });
  return Number(row?.[durationColumn]);
}

/** The journal of the attempts before this one, by position. */
async function takeUpJournal(
  sql: Sql,
  step: Step,
  options: StepOptions,
): Promise<ReadonlyMap<number, Entry>> {
  const entries = await readJournal<Remains>(sql, step);
  refuseEdited(step, entries);
  const finished = entries.filter(({ isFinished }) => isFinished);
  const interrupted = entries.find(({ isFinished }) => !isFinished);
  const open = interrupted && (await takeUp(sql, { step, interrupted, finished }, options));
  return new Map([...finished, ...(open ? [open] : [])].map((entry) => [entry.position, entry]));
}

/**
 * The entry of an interrupted statement, at the place that its statement has in the file now; undefined where the file
 * no longer has the statement and nothing of its work stands.
 */
async function takeUp(
  sql: Sql,
  {
    step,
    interrupted,
    finished,
  }: { readonly step: Step; readonly interrupted: Entry; readonly finished: readonly Entry[] },
  options: StepOptions,
): Promise<Entry | undefined> {
  const { checksum, remains } = interrupted;
  const { statements } = step.script;
  const place = checksum === mayRepeat ? undefined : placeNow(step, interrupted, finished);
  if (place !== undefined) {
    if (!remains && !statements[place]?.run.remains) throw unknownWork(step, interrupted, place);
    if (place !== interrupted.position) await journalMove(sql, interrupted, { to: place });
    return { ...interrupted, position: place };
  }
  const standing = remains && (await cleanUpEdited(sql, { step, interrupted, remains }, options));
  // A person has said what the statement has done.
  if (checksum === mayRepeat) return interrupted;
  if (standing !== 'nothing') throw unknownWork(step, interrupted);
  await journalWithdraw(sql, interrupted);
  return undefined;
}

/** Where the statement of the entry stands in the file now; undefined where it was edited or removed. */
function placeNow(
  { script: { statements } }: Step,
  { position, checksum }: Entry,
  finished: readonly Entry[],
): number | undefined {
  const isIt = (at: number) => checksumOf(statements[at]?.text ?? '') === checksum;
  if (isIt(position)) return position;
  const isFinished = (at: number) => finished.some((entry) => entry.position === at);
  const others = [...statements.keys()].filter((at) => !isFinished(at) && isIt(at));
  return others.length === 1 ? others[0] : undefined;
}

/** Removes what a statement has left that the file no longer has. */
async function cleanUpEdited(
  sql: Sql,
  {
    step,
    interrupted,
    remains,
  }: { readonly step: Step; readonly interrupted: Entry; readonly remains: Remains },
  options: StepOptions,
): Promise<Standing> {
  const { statements } = step.script;
  const statement = statements[interrupted.position] ?? statements.at(-1);
  return withPatience(sql, { is: isPatient(step, remains) }, options, () =>
    cleanUp(sql, remains, options),
  ).catch((error: unknown) => {
    throw statement ? atStatement(error, { step, statement }) : error;
  });
}

/** Refuses a file in which a statement that has run was edited, moved or removed. */
function refuseEdited(step: Step, journal: readonly Entry[]): void {
  const { file, statements } = step.script;
  const edited = journal.find(
    ({ position, checksum, isFinished }) =>
      isFinished && checksum !== checksumOf(statements[position]?.text ?? ''),
  );
  if (!edited) return;
  throw new CryptosenseDbError(
    'history-mismatch',
    {
      message: `${file.name} was applied in part, and a statement that has run was changed since`,
      evidence: [`statement ${edited.position + 1} is not the one that ran`],
      hint: `restore it, or repair the schema by hand and drop the record with: cryptosense-db migrate repair --forget ${step.version}`,
    },
    { details: { versions: [step.version] } },
  );
}

/**
 * The refusal to go on behind an interrupted statement of which no run can tell how much it has committed. `place` is
 * where it stands in the file; absent where it was edited or removed.
 */
function unknownWork(
  step: Step,
  { position, startedAt, remains }: Entry,
  place?: number,
): CryptosenseDbError<'history-mismatch'> {
  const { file, statements } = step.script;
  const { version } = step;
  const statement = place === undefined ? undefined : statements[place];
  const name = remains && subjectOf(remains).join('.');
  return new CryptosenseDbError(
    'history-mismatch',
    {
      message: `${file.name} ran in part: its statement ${(place ?? position) + 1} was interrupted, and may have committed all of its work, a part or nothing`,
      evidence: [
        ...(statement
          ? excerpt(locate(file.name, file.text, statement.index))
          : [`the statement was changed or removed since${name ? `; it was about ${name}` : ''}`]),
        `started ${formatMinute(startedAt)}; its end is not recorded; all statements before it have finished`,
      ],
      hint: `look at what the statement has done; then let the next run repeat it, with: cryptosense-db migrate repair --repeat ${version}; or record it as finished, with: cryptosense-db migrate repair --finish ${version}`,
    },
    { details: { versions: [version] } },
  );
}

/** An entry of the journal. Its remains have their schemas. */
type Entry = JournalledStatement<Remains>;

interface RunningStatement {
  readonly step: Step;
  readonly statement: Statement;
  readonly position: number;
  /** The journal entry of an earlier attempt. */
  readonly before: Entry | undefined;
}

async function runJournalled(
  session: Session,
  journalled: RunningStatement,
  options: StepOptions,
): Promise<void> {
  const { sql } = session;
  const { kind, resets } = journalled.statement.run;
  if (kind === 'session') {
    await discardRows(sql.unsafe(journalled.statement.text));
    const again = resets === undefined ? [] : settingsAfterReset(session, resets, options);
    if (again.length > 0) await sql.unsafe(again.join('; '));
    return;
  }
  const isDone = kind === 'in-transaction' && (await runInTransaction(sql, journalled, options));
  if (!isDone) await runAlone(session, journalled, options);
}

/** Runs the statement in one transaction with its journal entry. False when the server refuses it there. */
async function runInTransaction(
  sql: Sql,
  journalled: RunningStatement,
  { writer }: StepOptions,
): Promise<boolean> {
  const { step, statement } = journalled;
  return withTransaction(sql, async () => {
    if (statement.run.updatesTimescale) await sql.unsafe(releaseTimescale);
    await discardRows(sql.unsafe(statement.text));
    if (statement.indexes) await sql.unsafe(requireValid(statement.indexes));
    await sql.unsafe(localOwnRole);
    const row = rowOf(journalled);
    requireEntry(step, await journalStart(sql, row, writer));
    requireEntry(step, await journalFinish(sql, row, writer));
    return true;
  }).catch((error: unknown) => {
    if (isRefusedInTransaction(error)) return false;
    throw error;
  });
}

async function runAlone(
  session: Session,
  journalled: RunningStatement,
  options: StepOptions,
): Promise<void> {
  const { sql } = session;
  const { step, statement, before } = journalled;
  const begun = before?.checksum === mayRepeat ? undefined : before;
  const remains = begun?.remains ?? (await withSchemas(sql, statement.run.remains));
  const row = { ...rowOf(journalled), remains };
  const start = () =>
    withOwnRole(sql, async () => requireEntry(step, await journalStart(sql, row, options.writer)));
  const isOwn = await withPatience(sql, { is: isPatient(step, remains) }, options, async () => {
    const owns = begun !== undefined || (await isFree(sql, remains, options));
    // Without an entry, an interruption cannot make a later run take what stands there for work of this file.
    if (owns) await start();
    const { text } = statement;
    const toRun = begun && remains ? await restOf(sql, { text, remains }, options) : text;
    if (toRun !== undefined) await runOrRestore(session, journalled, { text: toRun, row }, options);
    return owns;
  });
  if (statement.indexes) await sql.unsafe(requireValid(statement.indexes));
  if (!isOwn) await start();
  await withOwnRole(sql, async () =>
    requireEntry(step, await journalFinish(sql, row, options.writer)),
  );
}

/** Runs the text of a statement. When it fails and the server shows that it left nothing, the journal is as before. */
async function runOrRestore(
  { sql, target }: Session,
  journalled: RunningStatement,
  { text, row }: { readonly text: string; readonly row: JournalRow<Remains> },
  options: StepOptions,
): Promise<void> {
  const isEmbedded = target.kind === 'embedded';
  const failure = await runAndWatch(
    sql,
    isEmbedded ? withoutConcurrently(text, row.remains) : text,
  );
  if (!failure) return;
  const { before } = journalled;
  if (!failure.mayHaveCommitted) await restoreEntry(sql, { row, before }, options);
  throw atStatement(failure.cause, journalled, failure);
}

/** Runs `work`, where `is` says so, without a limit for the wait for a lock. Leaves the session so when `work` fails. */
async function withPatience<T>(
  sql: Sql,
  { is }: { readonly is: boolean },
  { tableLockTimeoutMs }: StepOptions,
  work: () => Promise<T>,
): Promise<T> {
  if (is) await sql.unsafe('set lock_timeout = 0');
  const result = await work();
  if (is) await sql.unsafe(`set lock_timeout = ${tableLockSetting(tableLockTimeoutMs)}`);
  return result;
}

/** How a statement that ran alone failed. */
interface AloneFailure {
  readonly cause: unknown;
  /** False only where the server shows that the statement had one transaction, which is rolled back. */
  readonly mayHaveCommitted: boolean;
}

async function runAndWatch(sql: Sql, text: string): Promise<AloneFailure | undefined> {
  const before = await transactionNumber(sql);
  try {
    await discardRows(sql.unsafe(text));
    return undefined;
  } catch (cause) {
    const after = isSqlError(cause) ? await transactionNumber(sql) : undefined;
    // One for the statement, and one for the question.
    const hadOne = before !== undefined && after === before + 2;
    return { cause, mayHaveCommitted: !hadOne };
  }
}

/** The journal as it was before an attempt that left nothing. Where this fails, the entry says less than it could. */
async function restoreEntry(
  sql: Sql,
  { row, before }: { readonly row: JournalRow<Remains>; readonly before: Entry | undefined },
  { writer }: StepOptions,
): Promise<void> {
  await withOwnRole(sql, async () =>
    before ? journalStart(sql, before, writer) : journalWithdraw(sql, row),
  ).catch(() => {});
}

/** The number that the backend gives to the transaction of this query; it counts them. Undefined without an answer. */
async function transactionNumber(sql: Sql): Promise<number | undefined> {
  const ask = () => sql<{ number: number }[]>`
    select pg_catalog.split_part(virtualtransaction, '/', 2)::integer as number from pg_catalog.pg_locks
    where pid operator(pg_catalog.=) pg_catalog.pg_backend_pid()
      and locktype operator(pg_catalog.=) 'virtualxid'`;
  // undefined where the run's own cancel request hits the question.
  const rows = await ask().catch(() => undefined);
  return rows?.[0]?.number;
}

function rowOf({ step, statement, position }: RunningStatement): JournalRow<Remains> {
  const { version, direction } = step;
  const checksum = checksumOf(statement.text);
  return { version, direction, position, checksum, remains: undefined };
}

/**
 * The role that the run started with, which may be another one than the login: ALTER ROLE … SET role. A file may have
 * set a role that may not write to the journal. The file's role is back after the transaction.
 */
const localOwnRole = 'set local session authorization default; set local role to default';

function withOwnRole<T>(sql: Sql, work: () => Promise<T>): Promise<T> {
  return withTransaction(sql, async () => {
    await sql.unsafe(localOwnRole);
    return work();
  });
}

/**
 * The embedded engine refuses CONCURRENTLY ("tuple concurrently updated", PGlite issue 901). It has one session, so
 * there the plain form blocks no other.
 */
function withoutConcurrently(text: string, remains: Remains | undefined): string {
  const isIndex =
    remains?.kind === 'index' || (remains?.kind === 'object' && remains.catalog === 'index');
  return isIndex ? text.replace(/\bconcurrently\b/i, '') : text;
}

/**
 * CONCURRENTLY waits for every transaction that sees the table and blocks none of them, so a timeout would only
 * waste the work. A file that sets lock_timeout keeps its own.
 */
function isPatient({ script }: Step, remains: Remains | undefined): boolean {
  const isDrop = remains?.kind === 'object' && remains.catalog === 'index';
  const isBuild = remains?.kind === 'index' || remains?.kind === 'reindex';
  const setsTimeout = ({ text, run: { kind, resets } }: Statement) =>
    kind === 'session' && resets === undefined && /\block_timeout\b/i.test(text);
  return (isDrop || (isBuild && remains.isConcurrent)) && !script.statements.some(setsTimeout);
}

/** Without a row the journal refused the entry: this is no longer the session that holds the lock of the run. */
function requireEntry(step: Step, rows: readonly unknown[]): void {
  if (rows.length === 0) throw transactionLeft(step);
}
