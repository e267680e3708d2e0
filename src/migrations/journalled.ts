import {
  quoteIdentifier,
  type Session,
  type Sql,
  withRollback,
  withTransaction,
} from '../database/connection.ts';
import { isConnectionLost, isSqlError, sqlErrorCodes, sqlState } from '../database/sql-errors.ts';
import {
  durationColumn,
  isRefusedEntry,
  recordStep,
  tagTransaction,
  type Writer,
} from '../ledger/history.ts';
import {
  journalClear,
  journalFinish,
  journalStart,
  journalWithdraw,
  readJournal,
} from '../ledger/journal.ts';
import type { JournalEntry } from '../ledger/ledger.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import type { ProgressStep } from '../runtime/progress.ts';
import { indexOfCharacter } from '../sql/location.ts';
import { StatementError, transactionLeft } from './failure.ts';
import type { Statement } from './parse.ts';
import type { RunMode } from './run-mode.ts';
import { checksumOf } from './source.ts';
import {
  discardRows,
  freshSession,
  ownSession,
  type Step,
  type StepOptions,
  tableLockSetting,
} from './step.ts';

/**
 * Runs a file that says `-- Transaction: none`: one statement at a time, with a journal entry before and after it. A
 * statement that can run in a transaction shares one with its journal entry. A run after a failure starts with the
 * first statement that has not finished. Returns how long this run took.
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
  const entries = await readJournal(sql, step);
  const journal = new Map(entries.map((entry) => [entry.position, entry]));
  refuseEdited(step, journal);

  for (const [position, statement] of step.script.statements.entries()) {
    session.throwIfInterrupted();
    const before = journal.get(position);
    if (before?.isFinished && statement.run.kind !== 'session') continue;
    options.onProgress?.({ kind: 'statement-started', step: progress, position });
    const journalled = { step, statement, position, before };
    await runJournalled(session, journalled, options).catch((error: unknown) => {
      if (!isSqlError(error) || isConnectionLost(error)) throw error;
      const { position } = error;
      const offset = position ? indexOfCharacter(statement.text, Number(position) - 1) : 0;
      throw new StatementError(step, statement, { cause: error, offset });
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

async function record(sql: Sql, step: Step, writer: Writer): Promise<number> {
  const [row] = await sql.unsafe(recordStep(step, writer)).catch((error: unknown) => {
    throw isRefusedEntry(error) ? transactionLeft(step) : error;
  });
  return Number(row?.[durationColumn]);
}

/** Refuses a file in which a statement that has run was edited, moved or removed. */
function refuseEdited(step: Step, journal: ReadonlyMap<number, JournalEntry>): void {
  const { file, statements } = step.script;
  const edited = [...journal.values()].find(
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

interface JournalledStatement {
  readonly step: Step;
  readonly statement: Statement;
  readonly position: number;
  /** The journal entry of an earlier attempt. */
  readonly before: JournalEntry | undefined;
}

async function runJournalled(
  session: Session,
  { step, statement, position, before }: JournalledStatement,
  { writer, tableLockTimeoutMs }: StepOptions,
): Promise<void> {
  const { sql } = session;
  const { run, text } = statement;
  const { version, direction } = step;
  const entry = { version, direction, position, checksum: checksumOf(text) };
  if (run.kind === 'session') {
    await discardRows(sql.unsafe(text));
    return;
  }
  if (run.kind === 'in-transaction') {
    await withTransaction(sql, async () => {
      await discardRows(sql.unsafe(text));
      await sql.unsafe(localOwnRole);
      requireEntry(step, await journalStart(sql, entry, writer));
      requireEntry(step, await journalFinish(sql, entry, writer));
    });
    return;
  }
  await withOwnRole(sql, async () => requireEntry(step, await journalStart(sql, entry, writer)));
  const waitsWithoutLimit = isPatient(step, run);
  if (waitsWithoutLimit) await sql.unsafe('set lock_timeout = 0');
  const isUnchanged = before?.checksum === entry.checksum;
  if (!before || !(await isAlreadyDone(sql, statement, { isUnchanged }))) {
    const toRun = session.target.kind === 'embedded' ? withoutConcurrently(statement) : text;
    await discardRows(sql.unsafe(toRun)).catch(async (error: unknown) => {
      // With the entry, the next run would take the index that has the name already for its own.
      if (sqlState(error) === sqlErrorCodes.duplicateTable) {
        await withOwnRole(sql, async () => journalWithdraw(sql, entry));
      }
      throw error;
    });
  }
  if (waitsWithoutLimit) {
    await sql.unsafe(`set lock_timeout = ${tableLockSetting(tableLockTimeoutMs)}`);
  }
  await withOwnRole(sql, async () => requireEntry(step, await journalFinish(sql, entry, writer)));
}

/** A file may have set a role that may not write to the journal. The file's role is back after the transaction. */
const localOwnRole = 'set local session authorization default; set local role none';

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
function withoutConcurrently({ text, run }: Statement): string {
  const isIndex = run.kind === 'build-index' || run.kind === 'drop-index';
  return isIndex ? text.replace(/\bconcurrently\b/i, '') : text;
}

/**
 * CONCURRENTLY waits for every transaction that sees the table and blocks none of them, so a timeout would only
 * waste the work. A file that sets lock_timeout keeps its own.
 */
function isPatient({ script }: Step, run: RunMode): boolean {
  const isConcurrent =
    run.kind === 'drop-index' || (run.kind === 'build-index' && run.isConcurrent);
  const setsTimeout = ({ text, run: { kind } }: Statement) =>
    kind === 'session' && /\block_timeout\b/i.test(text);
  return isConcurrent && !script.statements.some(setsTimeout);
}

/** Without a row the journal refused the entry: this is no longer the session that holds the lock of the run. */
function requireEntry(step: Step, rows: readonly unknown[]): void {
  if (rows.length === 0) throw transactionLeft(step);
}

/**
 * True when an interrupted attempt has finished the statement. A valid index counts as built unless the statement
 * was edited since. An invalid one, which would stop the next build, is dropped here.
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
