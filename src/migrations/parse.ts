import type { Fault, Finding } from '../runtime/findings.ts';
import type { Direction } from '../runtime/progress.ts';
import { locate } from '../sql/location.ts';
import type { Grammar, Parse, ParsedStatement, SyntaxFault } from '../sql/parse.ts';
import { statementSpans } from '../sql/spans.ts';
import { nodes } from '../sql/tree.ts';
import { skipTrivia } from '../sql/trivia.ts';
import { type Effect, effectsOf } from './effects.ts';
import { findForeignMark } from './other-tools.ts';
import { conflictsOf, type FileConflict } from './replay-conflicts.ts';
import { brokenRules, escapesQuotes, isTransactionControl, readsRows } from './rules.ts';
import {
  createsTimescale,
  type RunMode,
  runModeOf,
  type TransactionMode,
  takesNoSnapshot,
  updatesTimescale,
} from './run-mode.ts';
import type { SqlFile } from './source.ts';
import { type IndexSet, indexesAfter } from './valid-indexes.ts';

/** A file that is parsed and breaks no rule. */
export interface Script {
  readonly file: SqlFile;
  readonly transaction: TransactionMode;
  /** The statement that begins the transaction: the file's own BEGIN if it has options, such as an isolation level. */
  readonly begin: string;
  readonly statements: readonly Statement[];
  /**
   * How many statements at the start take no snapshot, where a LOCK is among them: a transaction that keeps one
   * snapshot shall see what was committed while it waited for the lock.
   */
  readonly leading: number;
  /** What its statements create, drop and rename. */
  readonly effects: readonly Effect[];
  /** Its statements that conflict with queries on standbys. */
  readonly replayConflicts: readonly FileConflict[];
  /** Why the migration cannot be undone, where a rollback says so. */
  readonly irreversible: string | undefined;
  readonly needsTimescale: boolean;
}

export interface Statement {
  readonly text: string;
  /** Where the text starts in the file, in UTF-16 units. */
  readonly index: number;
  readonly run: RunMode;
  /** The indexes that have to be valid after it; absent for most statements. */
  readonly indexes?: IndexSet;
}

type ReportAt = (index: number, fault: Fault) => void;

/**
 * Parses a file and reports every rule that it breaks. A syntax error hides what follows it. The
 * script is fit to run only if nothing is reported.
 */
export function parseScript(
  file: SqlFile,
  {
    grammar,
    serverVersion = grammar.version,
    direction,
    report,
  }: {
    readonly grammar: Grammar;
    /** The major version of the server that the file is for. */
    readonly serverVersion?: number | undefined;
    readonly direction: Direction;
    readonly report: (finding: Finding) => void;
  },
): Script {
  const reportAt: ReportAt = (index, fault) =>
    report({ ...locate(file.name, file.text, index), ...fault });
  const directives = readDirectives(file.text, reportAt);
  const { transaction } = directives;
  const irreversible = direction === 'down' ? directives.irreversible : undefined;
  const foreign = findForeignMark(file.text, direction);
  if (foreign) {
    const { tool, mark } = foreign;
    reportAt(foreign.index, { rule: 'other-tool', tool, mark, direction });
  }
  const { statements: parsed, fault } = foreign
    ? { statements: undefined, fault: undefined }
    : grammar.parse(file.text);
  if (fault) reportFault(file.text, fault, { grammar, serverVersion, reportAt });
  const { begin, body } =
    transaction === 'own'
      ? takeOuterPair(parsed ?? [], reportAt)
      : { begin: plainBegin, body: parsed ?? [] };
  const escaping = body.find(({ node }) => escapesQuotes(node));
  // Grammar and server would read what follows in two ways.
  if (escaping && file.text.includes("\\'", escaping.index)) {
    reportAt(escaping.index, { rule: 'backslash-quote' });
  }
  const opening = body.findIndex(({ node }) => node.type !== 'VariableSetStmt');
  const late = body.find(({ node }, at) => updatesTimescale(node) && at > opening);
  if (late) reportAt(late.index, { rule: 'late-update' });
  for (const statement of body) {
    for (const broken of brokenRules(statement, transaction)) reportAt(statement.index, broken);
  }
  if (parsed && body.length === 0 && irreversible === undefined) {
    reportAt(0, { rule: 'no-statement', direction });
  }
  return {
    file,
    transaction,
    begin,
    statements: body.map(statementOf),
    leading: transaction === 'own' ? countLeading(body) : 0,
    effects: effectsOf(body),
    replayConflicts: conflictsOf(body, (index) => locate(file.name, file.text, index).line),
    irreversible,
    needsTimescale: body.some(({ node }) => createsTimescale(node)),
  };
}

function statementOf({ text, index, node }: ParsedStatement): Statement {
  const indexes = indexesAfter(node);
  return { text, index, run: runModeOf(node), ...(indexes && { indexes }) };
}

/** Directives stand in the `--` comments before the first statement. */
function readDirectives(text: string, reportAt: ReportAt) {
  const found = new Map<string, { readonly value: string; readonly index: number }>();
  skipTrivia(text, 0, (comment, index) => {
    const [, name, value] = /^--\s*(transaction|irreversible)\s*:(.*)$/i.exec(comment) ?? [];
    if (name === undefined || value === undefined) return;
    const key = name.toLowerCase();
    if (!found.has(key)) found.set(key, { value: value.trim(), index });
  });
  const transaction = found.get('transaction');
  const irreversible = found.get('irreversible');
  if (transaction && transaction.value.toLowerCase() !== 'none') {
    const directive = `-- Transaction: ${transaction.value}`;
    reportAt(transaction.index, { rule: 'unknown-directive', directive });
  }
  if (irreversible?.value === '') reportAt(irreversible.index, { rule: 'missing-reason' });
  const mode: TransactionMode = transaction ? 'none' : 'own';
  return { transaction: mode, irreversible: irreversible?.value };
}

function reportFault(
  text: string,
  fault: SyntaxFault,
  {
    grammar,
    serverVersion,
    reportAt,
  }: {
    readonly grammar: Grammar;
    readonly serverVersion: number;
    readonly reportAt: ReportAt;
  },
): void {
  const { index } = fault;
  if (fault.kind === 'too-large') {
    reportAt(index, { rule: 'too-large', bytes: fault.bytes });
    return;
  }
  const cause = findCauseBefore(text, index, grammar.parse);
  const command = /^\\\S*/.exec(text.slice(index))?.[0];
  if (cause) reportAt(cause.index, { rule: cause.rule });
  else if (command !== undefined) reportAt(index, { rule: 'psql-command', command });
  else {
    const isOlder = serverVersion > grammar.version;
    const versions = isOlder ? { grammar: grammar.version, server: serverVersion } : undefined;
    reportAt(index, { rule: 'syntax-error', reason: fault.reason, versions });
  }
}

/**
 * The statement before an index after which a file is not read by the grammar alone: COPY FROM STDIN, whose rows
 * follow it, or the setting that makes a backslash escape a quote.
 */
function findCauseBefore(
  text: string,
  index: number,
  parse: Parse,
): { readonly index: number; readonly rule: 'copy-from-stdin' | 'backslash-quote' } | undefined {
  for (const { from, to } of statementSpans(text)) {
    if (to > index) return undefined;
    const start = skipTrivia(text, from);
    if (!/^(copy|set)\s/i.test(text.slice(start, start + 5))) continue;
    const [statement] = parse(text.slice(start, to)).statements ?? [];
    if (statement && readsRows(statement.node)) return { index: start, rule: 'copy-from-stdin' };
    if (statement && escapesQuotes(statement.node))
      return { index: start, rule: 'backslash-quote' };
  }
  return undefined;
}

function countLeading(statements: readonly ParsedStatement[]): number {
  const rest = statements.findIndex(({ node }) => !takesNoSnapshot(node));
  const leading = rest < 0 ? statements : statements.slice(0, rest);
  return leading.some(({ node }) => node.type === 'LockStmt') ? leading.length : 0;
}

const plainBegin = 'begin';

/** Removes BEGIN at the start and COMMIT at the end; reports a BEGIN without a COMMIT. */
function takeOuterPair(
  statements: readonly ParsedStatement[],
  reportAt: ReportAt,
): { readonly begin: string; readonly body: readonly ParsedStatement[] } {
  const first = statements[0];
  const last = statements.at(-1);
  const isOpened =
    first && isTransactionControl(first.node, ['TRANS_STMT_BEGIN', 'TRANS_STMT_START']);
  if (!first || !last || !isOpened) return { begin: plainBegin, body: statements };
  const begin = nodes(first.node.body.options).length === 0 ? plainBegin : first.text;
  if (first === last || !isTransactionControl(last.node, ['TRANS_STMT_COMMIT'])) {
    reportAt(first.index, { rule: 'unfinished-transaction' });
    return { begin, body: statements.slice(1) };
  }
  if (last.node.body.chain === true) reportAt(last.index, { rule: 'chained-commit' });
  return { begin, body: statements.slice(1, -1) };
}
