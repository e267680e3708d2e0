import type { Fault, Finding } from '../runtime/findings.ts';
import type { Direction } from '../runtime/progress.ts';
import { locate } from '../sql/location.ts';
import type { Parse, ParsedStatement, SyntaxFault } from '../sql/parse.ts';
import { nodes } from '../sql/tree.ts';
import { skipTrivia } from '../sql/trivia.ts';
import { brokenRules, isTransactionControl } from './rules.ts';
import { createsTimescale, type RunMode, runModeOf, type TransactionMode } from './run-mode.ts';
import type { SqlFile } from './source.ts';

/** A file that is parsed and breaks no rule. */
export interface Script {
  readonly file: SqlFile;
  readonly transaction: TransactionMode;
  /** The statement that begins the transaction: the file's own BEGIN if it has options, such as an isolation level. */
  readonly begin: string;
  readonly statements: readonly Statement[];
  /** Why the migration cannot be undone, where a rollback says so. */
  readonly irreversible: string | undefined;
  readonly needsTimescale: boolean;
}

export interface Statement {
  readonly text: string;
  /** Where the text starts in the file, in UTF-16 units. */
  readonly index: number;
  readonly run: RunMode;
}

type ReportAt = (index: number, fault: Fault) => void;

/**
 * Parses a file and reports every rule that it breaks. A syntax error hides what follows it. The
 * script is fit to run only if nothing is reported.
 */
export function parseScript(
  file: SqlFile,
  {
    parse,
    direction,
    report,
  }: {
    readonly parse: Parse;
    readonly direction: Direction;
    readonly report: (finding: Finding) => void;
  },
): Script {
  const reportAt: ReportAt = (index, fault) =>
    report({ ...locate(file.name, file.text, index), ...fault });
  const directives = readDirectives(file.text, reportAt);
  const { transaction } = directives;
  const irreversible = direction === 'down' ? directives.irreversible : undefined;
  const { statements: parsed, fault } = parse(file.text);
  if (fault) reportSyntaxError(file.text, fault, reportAt);
  const { begin, body } =
    transaction === 'own'
      ? takeOuterPair(parsed ?? [], reportAt)
      : { begin: plainBegin, body: parsed ?? [] };
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
    statements: body.map(({ text, index, node }) => ({ text, index, run: runModeOf(node) })),
    irreversible,
    needsTimescale: body.some(({ node }) => createsTimescale(node)),
  };
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

function reportSyntaxError(text: string, { index, reason }: SyntaxFault, reportAt: ReportAt): void {
  const copyIndex = findCopyBefore(text, index);
  const command = /^\\\S*/.exec(text.slice(index))?.[0];
  if (copyIndex !== undefined) reportAt(copyIndex, { rule: 'copy-from-stdin' });
  else if (command !== undefined) reportAt(index, { rule: 'psql-command', command });
  else reportAt(index, { rule: 'syntax-error', reason });
}

/** The index of the COPY FROM STDIN that ends right before an index; the grammar stops at its first row. */
function findCopyBefore(text: string, index: number): number | undefined {
  const head = text.slice(0, index).trimEnd();
  if (!head.endsWith(';')) return undefined;
  const start = skipTrivia(head, head.lastIndexOf(';', head.length - 2) + 1);
  return /^copy\b.*\bfrom\s+stdin\b/is.test(head.slice(start)) ? start : undefined;
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
