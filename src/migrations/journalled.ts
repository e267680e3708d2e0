import {
  releaseTimescale,
  type Session,
  type Sql,
  withRollback,
  withTransaction,
} from '../database/connection.ts';
import { isRefusedInTransaction, isSqlError } from '../database/sql-errors.ts';
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
  journalStart,
  journalWithdraw,
} from '../ledger/journal.ts';
import type { ProgressStep } from '../runtime/progress.ts';
import { atStatement, transactionLeft } from './failure.ts';
import { type Entry, takeUpJournal } from './interrupted.ts';
import type { Statement } from './parse.ts';
import { isPatient, withPatience } from './patience.ts';
import { isFree, restOf, withSchemas } from './remains.ts';
import type { Remains } from './run-mode.ts';
import { checksumOf } from './source.ts';
import {
  discardRows,
  freshSession,
  ownSession,
  type Step,
  type StepOptions,
  settingsAfterReset,
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
  const startedMs = performance.now();
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
    const startedAt = `clock_timestamp() - interval '${performance.now() - startedMs} ms'`;
    await sql.unsafe([...ownSession, 'begin', tagTransaction(step, { startedAt })].join('; '));
    const durationMs = await record(sql, step, options.writer);
    await sql.unsafe(journalClear(step.version));
    await sql.unsafe([...freshSession(session, options), 'commit'].join('; '));
    return durationMs;
  });
}

async function record(sql: Sql, step: Step, writer: Writer): Promise<number> {
  const [row] = await sql.unsafe(recordStep(step, writer)).catch((error: unknown) => {
    throw isRefusedEntry(error) ? transactionLeft(step) : error;
  });
  return Number(row?.[durationColumn]);
}

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
  { writer, beforeCommit }: StepOptions,
): Promise<boolean> {
  const { step, statement } = journalled;
  return withTransaction(sql, async () => {
    if (statement.run.updatesTimescale) await sql.unsafe(releaseTimescale);
    await discardRows(sql.unsafe(statement.text));
    if (statement.indexes) await sql.unsafe(requireValid(statement.indexes));
    await sql.unsafe(localOwnRole);
    const row = rowOf(journalled);
    requireEntry(step, await sql.unsafe(journalStart(row, writer)));
    requireEntry(step, await sql.unsafe(journalFinish(row, writer)));
    await beforeCommit?.();
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
    withOwnRole(sql, async () =>
      requireEntry(step, await sql.unsafe(journalStart(row, options.writer))),
    );
  const isOwn = await withPatience(
    sql,
    { isWithoutLimit: isPatient(step.script, remains) },
    options,
    async () => {
      const owns = begun !== undefined || (await isFree(sql, remains, options));
      // Without an entry, an interruption cannot make a later run take what stands there for work of this file.
      if (owns) await start();
      const { text } = statement;
      const toRun = begun && remains ? await restOf(sql, { text, remains }, options) : text;
      if (toRun !== undefined)
        await runOrRestore(session, journalled, { text: toRun, row }, options);
      return owns;
    },
  );
  if (statement.indexes) await sql.unsafe(requireValid(statement.indexes));
  if (!isOwn) await start();
  await withOwnRole(sql, async () =>
    requireEntry(step, await sql.unsafe(journalFinish(row, options.writer))),
  );
}

/** Runs the text of a statement. When it fails and the server shows that it left nothing, the journal is as before. */
async function runOrRestore(
  session: Session,
  journalled: RunningStatement,
  { text, row }: { readonly text: string; readonly row: JournalRow<Remains> },
  options: StepOptions,
): Promise<void> {
  const { sql } = session;
  const isInOneStep = buildsOrDropsIndex(row.remains) && (await isEmbeddedEngine(session));
  const failure = await runAndWatch(sql, isInOneStep ? inOneStep(text) : text);
  if (!failure) return;
  const { before } = journalled;
  if (!failure.mayHaveCommitted) await restoreEntry(sql, { row, before }, options);
  throw atStatement(failure.cause, journalled, failure);
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
    before ? sql.unsafe(journalStart(before, writer)) : journalWithdraw(sql, row),
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
export const localOwnRole = 'set local session authorization default; set local role to default';

function withOwnRole<T>(sql: Sql, work: () => Promise<T>): Promise<T> {
  return withTransaction(sql, async () => {
    await sql.unsafe(localOwnRole);
    return work();
  });
}

function buildsOrDropsIndex(remains: Remains | undefined): boolean {
  return remains?.kind === 'index' || (remains?.kind === 'object' && remains.catalog === 'index');
}

/** True also where a port leads to the engine, as in tests. */
async function isEmbeddedEngine({ sql, target }: Session): Promise<boolean> {
  if (target.kind === 'embedded') return true;
  const [row] = await sql<{ isEngine: boolean }[]>`
    select pg_catalog.strpos(pg_catalog.version(), 'Emscripten') operator(pg_catalog.>) 0 as "isEngine"`;
  return row?.isEngine === true;
}

/**
 * The embedded engine refuses CONCURRENTLY and transaction_per_chunk ("tuple concurrently updated", PGlite issue 901).
 * It has one session, so there the plain form blocks no other.
 */
function inOneStep(text: string): string {
  return text
    .replace(/\bconcurrently\b/i, '')
    .replace(/\b(?:timescaledb|tsdb)\.transaction_per_chunk\b(?:\s*=\s*'?\w+'?)?\s*,?/i, '')
    .replace(/,\s*\)/, ')')
    .replace(/\bwith\s*\(\s*\)/i, '');
}

/** Without a row the journal refused the entry: this is no longer the session that holds the lock of the run. */
function requireEntry(step: Step, rows: readonly unknown[]): void {
  if (rows.length === 0) throw transactionLeft(step);
}
