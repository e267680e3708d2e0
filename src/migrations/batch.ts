import type { Sql } from '../database/connection.ts';
import { isConnectionLost, isSqlError, type SqlError } from '../database/sql-errors.ts';
import { durationColumn, isRefusedEntry } from './history.ts';
import { indexOfCharacter } from './location.ts';
import type { Statement } from './statements.ts';
import { discardRows, type Row, runLost, StatementError, type Step } from './step.ts';

/**
 * Statements of a step that go to the server as one query. The server runs them one after the other, and
 * after an error none of the rest, whether a transaction is open or not: nothing of a batch runs alone
 * behind a BEGIN that was cancelled.
 */
export interface Batch {
  readonly text: string;
  readonly statements: readonly Placed[];
  /** The statements of the step before these. */
  readonly before: number;
}

interface Placed {
  readonly statement: Statement;
  /** Where it starts in the text of the batch, in UTF-16 units. */
  readonly start: number;
}

/** What a batch says of itself while it runs, in the order of the server's answers. */
export interface BatchWatch {
  /** The step's transaction is open, and of the step before everything is committed. */
  readonly onOpened?: () => void;
  readonly onRecorded?: (durationMs: number) => void;
}

/** Of a larger file the server would hold the parse trees of all statements at once. */
const mostStatements = 64;
const mostCharacters = 128 * 1024;

/** Settings that the server's lexer goes by: a query is read as a whole before the first of it runs. */
const lexerSetting = /standard_conforming_strings|backslash_quote|escape_string_warning/i;

/** A row with this column tells how many statements of the step are finished. */
const finishedColumn = 'cryptosense_db_finished';

/** To be run when so many statements of a step are finished; of 0, when its transaction is open. */
function tellFinished(count: number): string {
  return `select ${count} as ${finishedColumn}`;
}

/** The step's statements between what opens and what ends it, in as few batches as can be. */
export function composeBatches(
  { direction, version, script }: Step,
  { opening, ending }: { readonly opening: readonly string[]; readonly ending: readonly string[] },
): readonly Batch[] {
  const chunks = chunksOf(script.statements);
  let before = 0;
  return chunks.map((chunk, index) => {
    // Shown by pg_stat_activity and the server's log.
    let text = `/* cryptosense-db: ${version} ${direction} */ `;
    const append = (part: string) => {
      const start = text.length;
      // On a line of its own: a statement may end in a comment.
      text += `${part}\n;`;
      return start;
    };
    if (index === 0) [...opening, tellFinished(0)].forEach(append);
    const statements = chunk.map((statement, place) => {
      const start = append(statement.text);
      append(tellFinished(before + place + 1));
      return { statement, start };
    });
    if (index === chunks.length - 1) ending.forEach(append);
    const batch = { text, statements, before };
    before += chunk.length;
    return batch;
  });
}

/** At least one, which may be empty. */
function chunksOf(statements: readonly Statement[]): readonly (readonly Statement[])[] {
  const chunks: Statement[][] = [[]];
  let characters = 0;
  for (const statement of statements) {
    const chunk = chunks.at(-1) ?? [];
    const last = chunk.at(-1);
    const { length } = statement.text;
    const isFull = chunk.length >= mostStatements || characters + length > mostCharacters;
    if (last && (isFull || lexerSetting.test(last.text))) {
      chunks.push([statement]);
      characters = length;
    } else {
      chunk.push(statement);
      characters += length;
    }
  }
  return chunks;
}

/**
 * Runs a batch. Returns the command that the server ended it with.
 * Throws `StatementError` for what the server refuses, `faulty-statements` where the history row found itself
 * outside the step's transaction, and what ended the connection.
 */
export async function runBatch(
  sql: Sql,
  step: Step,
  batch: Batch,
  { onOpened, onRecorded }: BatchWatch = {},
): Promise<string | undefined> {
  let finished = batch.before;
  let thrown: { readonly error: unknown } | undefined;
  const look = ({ [finishedColumn]: count, [durationColumn]: durationMs }: Row) => {
    if (typeof count === 'number') finished = count;
    if (typeof durationMs === 'number') onRecorded?.(durationMs);
    if (count === 0) onOpened?.();
  };
  const results = await discardRows(sql.unsafe(batch.text), (row) => {
    try {
      look(row);
    } catch (error) {
      // The driver would take it for the end of the query, which goes on.
      thrown ??= { error };
    }
  }).catch((error: unknown) => {
    const isRefusal = isSqlError(error) && !isConnectionLost(error);
    throw isRefusal ? refusal(step, batch, { finished, error }) : error;
  });
  if (thrown) throw thrown.error;
  return commandOf(results);
}

/** Of several statements the driver returns a list of results, of one a result, which is a list of rows. */
function commandOf(results: unknown): string | undefined {
  const list: readonly unknown[] = Array.isArray(results) ? results : [];
  const last: unknown = Array.isArray(list.at(-1)) ? list.at(-1) : results;
  const command = typeof last === 'object' && last !== null && 'command' in last && last.command;
  return typeof command === 'string' ? command : undefined;
}

/**
 * The statement is the one that the server points into, else the first that did not say it is finished. What
 * fails at the end of a file, deferred constraints say, has none of its own: the last.
 */
function refusal(
  step: Step,
  { text, statements, before }: Batch,
  { finished, error }: { readonly finished: number; readonly error: SqlError },
): Error {
  const isAtEnd = finished === step.script.statements.length;
  if (isAtEnd && isRefusedEntry(error)) return runLost(step);
  const pointed = error.position && indexOfCharacter(text, Number(error.position) - 1);
  const placed =
    (typeof pointed === 'number' && statements.findLast(({ start }) => start <= pointed)) ||
    (statements[finished - before] ?? statements.at(-1));
  if (!placed) return error;
  const { statement, start } = placed;
  const offset = typeof pointed === 'number' ? pointed - start : 0;
  return new StatementError(step, statement, error, {
    offset: offset < statement.text.length ? Math.max(0, offset) : 0,
  });
}
