import type { Sql } from '../database/connection.ts';
import {
  isConnectionLost,
  isSqlError,
  type SqlError,
  sqlErrorCodes,
} from '../database/sql-errors.ts';
import { durationColumn, isRefusedEntry } from '../ledger/history.ts';
import { indexOfCharacter } from '../sql/location.ts';
import type { Statement } from './statements.ts';
import { discardRows, runLost, StatementError, type Step } from './step.ts';

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

/** What a batch says of itself while it runs, in the order of the server's answers; called by the driver. */
export interface BatchWatch {
  /** The step's transaction is open, and of the step before everything is committed. */
  readonly onOpened?: () => void;
  readonly onRecorded?: (durationMs: number) => void;
}

/** Of a larger file the server would hold the parse trees of all statements at once. */
const mostStatements = 64;
const mostCharacters = 128 * 1024;

/** Settings by which the server reads a query, as a whole and before the first of it runs. */
const readingSetting =
  /standard_conforming_strings|backslash_quote|escape_string_warning|client_encoding/i;

/** A row with this column tells how many statements of the step are finished. */
const finishedColumn = 'cryptosense_db_finished';

/** To be run when so many statements of a step are finished; of 0, when its transaction is open. */
function tellFinished(count: number): string {
  return `select ${count} as ${finishedColumn}`;
}

/** What runs around a step's statements. */
export interface Around {
  readonly opening: readonly string[];
  /** Behind the last statement, in the session as the file leaves it. Letters of ASCII only. */
  readonly leaving: readonly string[];
  /** At last, in the tool's own session. */
  readonly ending: readonly string[];
}

/** The step's statements and what is around them, in as few batches as can be. */
export function composeBatches(
  { direction, version, script }: Step,
  { opening, leaving, ending }: Around,
): readonly Batch[] {
  // Shown by pg_stat_activity and the server's log.
  const header = `/* cryptosense-db: ${version} ${direction} */ `;
  const chunks = chunksOf(script.statements);
  const total = script.statements.length;
  let before = 0;
  const drafts = chunks.map((chunk, index): Draft => {
    const from = before;
    before += chunk.length;
    const told = chunk.flatMap((statement, place) => [statement, tellFinished(from + place + 1)]);
    const isFirst = index === 0;
    const isLast = index === chunks.length - 1;
    const start = isFirst ? [...opening, tellFinished(0)] : [];
    return { before: from, parts: [...start, ...told, ...(isLast ? leaving : [])] };
  });
  const [only, ...others] = drafts;
  const isOne = others.length === 0 && !script.statements.some(changesReading);
  // Where the file may have changed how the server reads, the history row is sent when it reads as ever.
  const all =
    only && isOne
      ? [{ ...only, parts: [...only.parts, ...ending] }]
      : [...drafts, { before: total, parts: ending }];
  return all.map((draft) => render(header, draft));
}

interface Draft {
  readonly before: number;
  readonly parts: readonly (string | Statement)[];
}

function render(header: string, { before, parts }: Draft): Batch {
  let text = header;
  const statements: Placed[] = [];
  for (const part of parts) {
    if (typeof part !== 'string') statements.push({ statement: part, start: text.length });
    // On a line of its own: a statement may end in a comment.
    text += `${typeof part === 'string' ? part : part.text}\n;`;
  }
  return { text, statements, before };
}

function changesReading({ text, run }: Statement): boolean {
  const isSetNames = run.kind === 'session' && /\bnames\b/i.test(text);
  return isSetNames || readingSetting.test(text);
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
    if (last && (isFull || changesReading(last))) {
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
  const results = await discardRows(sql.unsafe(batch.text), (row) => {
    const { [finishedColumn]: count, [durationColumn]: durationMs } = row;
    if (typeof count === 'number') finished = count;
    if (typeof durationMs === 'number') onRecorded?.(durationMs);
    if (count === 0) onOpened?.();
  }).catch((error: unknown) => {
    const isRefusal = isSqlError(error) && !isConnectionLost(error);
    throw isRefusal ? refusal(sql, step, batch, { finished, error }) : error;
  });
  return commandOf(results);
}

/** Of several statements the driver returns a list of results, of one a result, which is a list of rows. */
function commandOf(results: unknown): string | undefined {
  const list: readonly unknown[] = Array.isArray(results) ? results : [];
  const last: unknown = Array.isArray(list.at(-1)) ? list.at(-1) : results;
  const command = typeof last === 'object' && last !== null && 'command' in last && last.command;
  return typeof command === 'string' ? command : undefined;
}

/** The refusal of the first statement that did not say it is finished, or of what comes behind the last. */
function refusal(
  sql: Sql,
  step: Step,
  { text, statements, before }: Batch,
  { finished, error }: { readonly finished: number; readonly error: SqlError },
): Error {
  const all = step.script.statements;
  if (finished === all.length) {
    if (isRefusedEntry(error)) return runLost(step);
    const last = all.at(-1);
    return last ? new StatementError(step, last, error, { isBehind: true }) : error;
  }
  const pointed = error.position && indexOfPosition(sql, text, Number(error.position));
  const isAt = ({ start, statement }: Placed) =>
    typeof pointed === 'number' && pointed >= start && pointed < start + statement.text.length;
  // What the server cannot read it refuses before anything of the batch runs.
  const isUnread = finished === before && error.code === sqlErrorCodes.syntaxError;
  const placed = (isUnread && statements.find(isAt)) || statements[finished - before];
  if (!placed) return error;
  // It may point into another text, that of an EXECUTE's PREPARE say.
  const offset = isAt(placed) ? Number(pointed) - placed.start : 0;
  return new StatementError(step, placed.statement, error, { offset });
}

/** The server counts characters from 1, and bytes where it knows no characters. */
function indexOfPosition(sql: Sql, text: string, position: number): number {
  if (sql.parameters.server_encoding !== 'SQL_ASCII') return indexOfCharacter(text, position - 1);
  return Buffer.from(text).toString('utf8', 0, position - 1).length;
}
