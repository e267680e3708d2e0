import { releaseTimescale, type Sql } from '../database/connection.ts';
import {
  isConnectionLost,
  isSqlError,
  type SqlError,
  sqlErrorCodes,
} from '../database/sql-errors.ts';
import { durationColumn, isRefusedEntry } from '../ledger/history.ts';
import { indexOfCharacter } from '../sql/location.ts';
import { StatementError, transactionLeft } from './failure.ts';
import type { Statement } from './parse.ts';
import type { ResetSetting } from './run-mode.ts';
import { discardRows, type Step } from './step.ts';
import { requireValid } from './valid-indexes.ts';

/**
 * Statements of a step that go to the server as one query. After an error the server runs none of the rest of a
 * query, so no statement runs outside the transaction when a BEGIN was cancelled.
 */
export interface Batch {
  readonly step: Step;
  readonly text: string;
  readonly statements: readonly PlacedStatement[];
  /** How many statements of the step come before these. */
  readonly before: number;
}

interface PlacedStatement {
  readonly statement: Statement;
  /** Where the statement starts in the text of the batch, in UTF-16 units. */
  readonly start: number;
}

/** How the server ended a batch. */
export interface BatchResult {
  /** The last command that the server reports; ROLLBACK for the COMMIT of a transaction that has failed. */
  readonly command: string | undefined;
  /** How long the step took, by its history row; 0 for a batch without one. */
  readonly durationMs: number;
}

/** The limits of a batch: the server holds the parse trees of all its statements at once. */
const mostStatements = 64;
const mostCharacters = 128 * 1024;

/** Settings that change how the server reads a query. It reads a query as a whole, before it runs any of it. */
const readingSetting =
  /standard_conforming_strings|backslash_quote|escape_string_warning|client_encoding/i;

/** Follows each statement in the batch; its row says how many statements of the step have run. */
function countFinished(count: number): string {
  return `select ${count} as ${finishedColumn}`;
}

const finishedColumn = 'cryptosense_db_finished';

/** What the tool runs before and after a step's statements. */
export interface Around {
  readonly opening: readonly string[];
  /** Before the first statement that may take the transaction's snapshot. */
  readonly tagging: readonly string[];
  /** After each RESET of the file, which `resets` one setting or all. */
  readonly afterReset: (resets: ResetSetting) => readonly string[];
  /** After the last statement, under the settings that the file has set. ASCII only, which every encoding can read. */
  readonly leaving: readonly string[];
  /** At the end, after `leaving` has reset the session. */
  readonly ending: readonly string[];
}

/** The step's statements and what runs around them, in as few batches as possible: one for nearly every file. */
export function composeBatches(
  step: Step,
  { opening, tagging, afterReset, leaving, ending }: Around,
): readonly Batch[] {
  const { direction, version, script } = step;
  // pg_stat_activity and the server's log show how a query starts.
  const header = `/* cryptosense-db: ${version} ${direction} */ `;
  // To count would take a snapshot: each statement that needs none is a query of its own.
  const leading = script.statements.slice(0, script.leading);
  const drafts: Draft[] = leading.map((statement, before) => ({ before, parts: [statement] }));
  let before = leading.length;
  for (const chunk of chunksOf(script.statements.slice(before))) {
    const from = before;
    before += chunk.length;
    const parts = chunk.flatMap((statement, place) => [
      ...surround(statement, afterReset),
      countFinished(from + place + 1),
    ]);
    drafts.push({ before: from, parts });
  }
  drafts[leading.length]?.parts.unshift(...tagging);
  drafts[0]?.parts.unshift(...opening);
  drafts.at(-1)?.parts.push(...leaving);
  // The history row is sent after the answer where the file may have changed how the server reads a query.
  const isCut = drafts.length > 1 || script.statements.some(changesReading);
  if (isCut) drafts.push({ before, parts: [...ending] });
  else drafts[0]?.parts.push(...ending);
  return drafts.map((draft) => ({ step, before: draft.before, ...render(header, draft.parts) }));
}

/** The texts of a step in the order of its batches, without those that count what has finished. */
export function listTexts(
  { script }: Step,
  { opening, tagging, afterReset, leaving, ending }: Around,
): readonly string[] {
  const [leading, rest] = [
    script.statements.slice(0, script.leading),
    script.statements.slice(script.leading),
  ];
  const parts = rest.flatMap((statement) => surround(statement, afterReset));
  return [...opening, ...leading, ...tagging, ...parts, ...leaving, ...ending].map(textOf);
}

/** A statement with what the tool runs for it in its transaction. */
function surround(
  statement: Statement,
  afterReset: Around['afterReset'],
): readonly (string | Statement)[] {
  const { run, indexes } = statement;
  return [
    ...(run.updatesTimescale ? [releaseTimescale] : []),
    statement,
    ...(run.resets === undefined ? [] : afterReset(run.resets)),
    ...(indexes ? [requireValid(indexes)] : []),
  ];
}

function textOf(part: string | Statement): string {
  return typeof part === 'string' ? part : part.text;
}

interface Draft {
  readonly before: number;
  readonly parts: (string | Statement)[];
}

function render(
  header: string,
  parts: readonly (string | Statement)[],
): Pick<Batch, 'text' | 'statements'> {
  let text = header;
  const statements: PlacedStatement[] = [];
  for (const part of parts) {
    if (typeof part !== 'string') statements.push({ statement: part, start: text.length });
    // The semicolon has a line of its own: a statement may end in a comment.
    text += `${textOf(part)}\n;`;
  }
  return { text, statements };
}

function changesReading({ text, run }: Statement): boolean {
  const isSetNames = run.kind === 'session' && /\bnames\b/i.test(text);
  return isSetNames || readingSetting.test(text);
}

/** At least one chunk, which may be empty. */
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
 * Runs batches in order; returns how the last one ended.
 * Throws `StatementError` for a statement that the server refuses, `faulty-statements` when the history row is
 * refused, and the driver's error when the connection is lost.
 */
export async function runBatches(sql: Sql, batches: readonly Batch[]): Promise<BatchResult> {
  let result: BatchResult = { command: undefined, durationMs: 0 };
  for (const batch of batches) result = await runBatch(sql, batch);
  return result;
}

async function runBatch(sql: Sql, batch: Batch): Promise<BatchResult> {
  let finished = batch.before;
  let durationMs = 0;
  const results = await discardRows(sql.unsafe(batch.text), (row) => {
    const { [finishedColumn]: count, [durationColumn]: duration } = row;
    if (typeof count === 'number') finished = count;
    if (typeof duration === 'number') durationMs = duration;
  }).catch((error: unknown) => {
    const isRefused = isSqlError(error) && !isConnectionLost(error);
    throw isRefused ? explain(sql, batch, { finished, error }) : error;
  });
  return { command: lastCommand(results), durationMs };
}

/** The driver returns one result for a query of one statement, a list of results for several. */
function lastCommand(results: unknown): string | undefined {
  const list: readonly unknown[] = Array.isArray(results) ? results : [];
  const last: unknown = Array.isArray(list.at(-1)) ? list.at(-1) : results;
  const command = typeof last === 'object' && last !== null && 'command' in last && last.command;
  return typeof command === 'string' ? command : undefined;
}

/** The server's error as that of the first statement that has not finished, or of what runs after the last one. */
function explain(
  sql: Sql,
  { step, text, statements, before }: Batch,
  { finished, error }: { readonly finished: number; readonly error: SqlError },
): Error {
  const all = step.script.statements;
  if (finished === all.length) {
    if (isRefusedEntry(error)) return transactionLeft(step);
    const last = all.at(-1);
    return last ? new StatementError(step, last, { cause: error, isAfterLast: true }) : error;
  }
  const pointed =
    error.position && indexOfPosition(sql, { text, position: Number(error.position) });
  const isAt = ({ start, statement }: PlacedStatement) =>
    typeof pointed === 'number' && pointed >= start && pointed < start + statement.text.length;
  // The server refuses a batch that it cannot parse before it runs any of it.
  const isUnparsed = finished === before && error.code === sqlErrorCodes.syntaxError;
  const placed = (isUnparsed && statements.find(isAt)) || statements[finished - before];
  if (!placed) return error;
  // The position may be one in another text, such as that of the PREPARE behind an EXECUTE.
  const offset = isAt(placed) ? Number(pointed) - placed.start : 0;
  return new StatementError(step, placed.statement, { cause: error, offset });
}

/** The server counts characters from 1. In a database without an encoding it counts bytes. */
function indexOfPosition(
  sql: Sql,
  { text, position }: { readonly text: string; readonly position: number },
): number {
  if (sql.parameters.server_encoding !== 'SQL_ASCII') return indexOfCharacter(text, position - 1);
  return Buffer.from(text).toString('utf8', 0, position - 1).length;
}
