import {
  quoteIdentifier,
  type Session,
  type Sql,
  withRollback,
  withTransaction,
} from '../database/connection.ts';
import { isConnectionLost, isSqlError, sqlErrorCodes, sqlState } from '../database/sql-errors.ts';
import { durationColumn, isRefusedEntry, markTransaction, recordStep } from '../ledger/history.ts';
import { journalClear, journalFinish, journalStart, journalWithdraw } from '../ledger/journal.ts';
import type { JournalEntry } from '../ledger/ledger.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import type { ProgressStep } from '../runtime/progress.ts';
import { indexOfCharacter } from '../sql/location.ts';
import type { RunMode } from './run-mode.ts';
import { checksumOf } from './source.ts';
import type { Statement } from './statements.ts';
import {
  discardRows,
  freshSession,
  ownSession,
  type RunOptions,
  runLost,
  StatementError,
  type Step,
  tableLockSetting,
} from './step.ts';

/**
 * Runs a file that says `-- Transaction: none`: one statement at a time, each in the journal before
 * and after it. What can run in a transaction does so with its journal entry. A run after a failure
 * goes on with the first statement that is not finished. Returns how long this run took.
 */
export async function runStatementByStatement(
  session: Session,
  { step, progress }: { readonly step: Step; readonly progress: ProgressStep },
  options: RunOptions,
): Promise<number> {
  const { sql } = session;
  const startedAt = performance.now();
  const elapsedSeconds = () => (performance.now() - startedAt) / 1000;
  await sql.unsafe(freshSession(session, options).join('; '));
  const journal = await readJournal(sql, step);
  refuseOtherStatements(step, journal);

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
      throw new StatementError(step, statement, error, { offset });
    });
  }

  return withRollback(sql, async () => {
    await sql.unsafe([...ownSession, 'begin', markTransaction(step)].join('; '));
    await sql`
      select set_config('cryptosense_db.started_at',
        (extract(epoch from clock_timestamp()) - ${elapsedSeconds()}::numeric)::text, true)`;
    const durationMs = await record(sql, step);
    await journalClear(sql, step.version);
    await sql.unsafe([...freshSession(session, options), 'commit'].join('; '));
    return durationMs;
  });
}

async function record(sql: Sql, step: Step): Promise<number> {
  const [row] = await sql.unsafe(recordStep(step)).catch((error: unknown) => {
    throw isRefusedEntry(error) ? runLost(step) : error;
  });
  return Number(row?.[durationColumn]);
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
    await discardRows(sql.unsafe(text));
    return;
  }
  if (run.kind === 'in-transaction') {
    await withTransaction(sql, async () => {
      await discardRows(sql.unsafe(text));
      await sql.unsafe(localOwnRole);
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
    await discardRows(sql.unsafe(toRun)).catch(async (error: unknown) => {
      // Else the next run would take the index that stands in the way for this one's own.
      if (sqlState(error) === sqlErrorCodes.duplicateTable) {
        await withOwnRole(sql, async () => journalWithdraw(sql, entry));
      }
      throw error;
    });
  }
  if (isWaitEndless) await sql.unsafe(`set lock_timeout = ${tableLockSetting(tableLockTimeoutMs)}`);
  await withOwnRole(sql, async () => requireOne(step, await journalFinish(sql, entry, writer)));
}

/** A file may have set a role that may not write the journal; it is that role again afterwards. */
const localOwnRole = 'set local session authorization default; set local role none';

function withOwnRole<T>(sql: Sql, work: () => Promise<T>): Promise<T> {
  return withTransaction(sql, async () => {
    await sql.unsafe(localOwnRole);
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

function requireOne(step: Step, rows: readonly unknown[]): void {
  if (rows.length === 0) throw runLost(step);
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
