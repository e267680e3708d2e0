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
  type JournalRow,
  journalClear,
  journalFinish,
  journalMove,
  journalStart,
  journalWithdraw,
  readJournal,
} from '../ledger/journal.ts';
import type { JournalEntry } from '../ledger/ledger.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import { excerpt } from '../runtime/excerpt.ts';
import type { ProgressStep } from '../runtime/progress.ts';
import { indexOfCharacter, locate } from '../sql/location.ts';
import { StatementError, transactionLeft } from './failure.ts';
import { formatMinute } from './mismatch.ts';
import type { Statement } from './parse.ts';
import { restOf, standing } from './remains.ts';
import type { Remains } from './run-mode.ts';
import { checksumOf } from './source.ts';
import {
  discardRows,
  freshSession,
  ownSession,
  runSettings,
  type Step,
  type StepOptions,
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
  const journal = await takeUpJournal(sql, step);

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
  { step, statement }: JournalledStatement,
  { mayHaveCommitted = false }: { readonly mayHaveCommitted?: boolean } = {},
): unknown {
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

/**
 * The journal of the attempts before this one, by position. The entry of an interrupted statement moves with its
 * statement where statements were added before it.
 */
async function takeUpJournal(sql: Sql, step: Step): Promise<ReadonlyMap<number, JournalEntry>> {
  const entries = await readJournal(sql, step);
  refuseEdited(step, entries);
  const journal = new Map(entries.map((entry) => [entry.position, entry]));
  for (const entry of entries.filter(({ isFinished }) => !isFinished)) {
    const to = positionNow(step, entry, journal);
    refuseUnknown(step, entry, { position: to });
    if (to === undefined || to === entry.position) continue;
    await journalMove(sql, entry, { to });
    journal.delete(entry.position);
    journal.set(to, { ...entry, position: to });
  }
  return journal;
}

/** Where the statement of the entry stands in the file now; undefined where it was edited or removed. */
function positionNow(
  { script: { statements } }: Step,
  { position, checksum }: JournalEntry,
  journal: ReadonlyMap<number, JournalEntry>,
): number | undefined {
  const isIt = (at: number) => checksumOf(statements[at]?.text ?? '') === checksum;
  if (isIt(position)) return position;
  const others = [...statements.keys()].filter((at) => !journal.has(at) && isIt(at));
  return others.length === 1 ? others[0] : undefined;
}

/** Refuses a file in which a statement that has run was edited, moved or removed. */
function refuseEdited(step: Step, journal: readonly JournalEntry[]): void {
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

/** Refuses to go on behind an interrupted statement of which no run can tell how much it has committed. */
function refuseUnknown(
  step: Step,
  entry: JournalEntry,
  { position }: { readonly position: number | undefined },
): void {
  const { file, statements } = step.script;
  const { version } = step;
  const statement = statements[position ?? entry.position];
  const kind = statement?.run.remains?.kind;
  const isKnown = position === undefined ? isLookedUp(kind) : kind !== undefined;
  if (isKnown || entry.checksum === mayRepeat) return;
  const number = (position ?? entry.position) + 1;
  throw new CryptosenseDbError(
    'history-mismatch',
    {
      message: `${file.name} ran in part: its statement ${number} was interrupted, and may have committed all of its work, a part or nothing`,
      evidence: [
        ...(statement && position !== undefined
          ? excerpt(locate(file.name, file.text, statement.index))
          : ['the statement was changed or removed since']),
        `started ${formatMinute(entry.startedAt)}; its end is not recorded; all statements before it have finished`,
      ],
      hint: `look at what the statement has done; then let the next run repeat it, with: cryptosense-db migrate repair --repeat ${version}; or record it as finished, with: cryptosense-db migrate repair --finish ${version}`,
    },
    { details: { versions: [version] } },
  );
}

/** True for a statement whose object is looked up, and that fails where another statement has left the object. */
function isLookedUp(kind: Remains['kind'] | undefined): boolean {
  return kind === 'index' || kind === 'aggregate' || kind === 'object';
}

interface JournalledStatement {
  readonly step: Step;
  readonly statement: Statement;
  readonly position: number;
  /** The journal entry of an earlier attempt. */
  readonly before: JournalEntry | undefined;
}

async function runJournalled(
  session: Session,
  journalled: JournalledStatement,
  options: StepOptions,
): Promise<void> {
  const { sql } = session;
  const { kind, isResetAll } = journalled.statement.run;
  if (kind === 'session') {
    await discardRows(sql.unsafe(journalled.statement.text));
    if (isResetAll) await sql.unsafe(runSettings(session, options).join('; '));
    return;
  }
  const isDone = kind === 'in-transaction' && (await runInTransaction(sql, journalled, options));
  if (!isDone) await runAlone(session, journalled, options);
}

/** Runs the statement in one transaction with its journal entry. False when the server refuses it there. */
async function runInTransaction(
  sql: Sql,
  journalled: JournalledStatement,
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
  journalled: JournalledStatement,
  { writer, tableLockTimeoutMs }: StepOptions,
): Promise<void> {
  const { sql } = session;
  const { step, statement, before } = journalled;
  const { remains } = statement.run;
  const row = rowOf(journalled);
  const start = () =>
    withOwnRole(sql, async () => requireEntry(step, await journalStart(sql, row, writer)));
  const found = before ? 'nothing' : await standing(sql, remains);
  const takesOver = found === 'invalid' && remains?.kind === 'index' && remains.mayExist;
  // Without an entry, an interruption cannot make a later run take the object for one of this file.
  const isForeign = found !== 'nothing' && !takesOver;
  if (!isForeign) await start();
  const waitsWithoutLimit = isPatient(step, remains);
  if (waitsWithoutLimit) await sql.unsafe('set lock_timeout = 0');
  const isUnchanged = takesOver || before?.checksum === row.checksum;
  const toRun =
    before || takesOver ? await restOf(sql, statement, { isUnchanged }) : statement.text;
  if (toRun !== undefined) {
    const text = session.target.kind === 'embedded' ? withoutConcurrently(toRun, remains) : toRun;
    const failure = await runAndWatch(sql, text);
    if (failure && !failure.mayHaveCommitted) await restoreEntry(sql, journalled, writer);
    if (failure) throw atStatement(failure.cause, journalled, failure);
  }
  if (waitsWithoutLimit) {
    await sql.unsafe(`set lock_timeout = ${tableLockSetting(tableLockTimeoutMs)}`);
  }
  if (statement.indexes) await sql.unsafe(requireValid(statement.indexes));
  if (isForeign) await start();
  await withOwnRole(sql, async () => requireEntry(step, await journalFinish(sql, row, writer)));
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
  journalled: JournalledStatement,
  writer: Writer,
): Promise<void> {
  const { before } = journalled;
  const row = rowOf(journalled);
  await withOwnRole(sql, async () =>
    before
      ? journalStart(sql, { ...row, checksum: before.checksum }, writer)
      : journalWithdraw(sql, row),
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

function rowOf({ step, statement, position }: JournalledStatement): JournalRow {
  const { version, direction } = step;
  return { version, direction, position, checksum: checksumOf(statement.text) };
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
  const setsTimeout = ({ text, run: { kind } }: Statement) =>
    kind === 'session' && /\block_timeout\b/i.test(text);
  return (isDrop || (isBuild && remains.isConcurrent)) && !script.statements.some(setsTimeout);
}

/** Without a row the journal refused the entry: this is no longer the session that holds the lock of the run. */
function requireEntry(step: Step, rows: readonly unknown[]): void {
  if (rows.length === 0) throw transactionLeft(step);
}
