import { parseSync } from 'libpg-query';
import type { Problem } from '../runtime/errors.ts';
import { excerpt, indexOfCharacter, locate } from '../sql/location.ts';
import { asNode, nodes, type SyntaxNode, stringOf, typed } from '../sql/tree.ts';
import { endOfText, skipTrivia } from '../sql/trivia.ts';
import type { SqlFile } from './source.ts';

/** Reports what is wrong at an index of a file's text, and what to do about it. */
export type Fault = (index: number, fact: string, hint?: string) => void;

/** A fault with its place in the file, the line and a caret. */
export function faultAt(
  file: SqlFile,
  index: number,
  { fact, hint }: { readonly fact: string; readonly hint: string | undefined },
): Problem {
  const place = locate(file.name, file.text, index);
  return {
    message: `${place.file}:${place.line}:${place.column} ${fact}`,
    evidence: excerpt(place),
    ...(hint !== undefined && { hint }),
  };
}

export interface ParsedStatement {
  readonly text: string;
  readonly index: number;
  /** The parse tree below its one key, and that key. */
  readonly node: { readonly type: string; readonly body: SyntaxNode };
}

/**
 * libpg-query counts in bytes of UTF-8, and takes leading comments to a statement's start.
 * undefined after a syntax error, which is reported.
 */
export function parse(file: SqlFile, fault: Fault): readonly ParsedStatement[] | undefined {
  let tree: unknown;
  try {
    tree = parseSync(file.text);
  } catch (error) {
    reportSyntaxError(file, error, fault);
    return undefined;
  }
  const bytes = Buffer.from(file.text, 'utf8');
  const isAscii = bytes.length === file.text.length;
  let byteAt = 0;
  let indexAt = 0;
  return nodes(asNode(tree).stmts).map((raw) => {
    const from = Number(raw.stmt_location ?? 0);
    const length = Number(raw.stmt_len ?? bytes.length - from);
    indexAt += isAscii ? from - byteAt : bytes.toString('utf8', byteAt, from).length;
    byteAt = from;
    const whole = isAscii
      ? file.text.slice(from, from + length)
      : bytes.toString('utf8', from, from + length);
    const start = skipTrivia(whole, 0);
    return {
      text: whole.slice(start, endOfText(whole)),
      index: indexAt + start,
      node: typed(raw.stmt),
    };
  });
}

function reportSyntaxError(file: SqlFile, error: unknown, fault: Fault): void {
  const details = asNode(asNode(error).sqlDetails);
  const position = Number(details.cursorPosition ?? 0);
  const index = indexOfCharacter(file.text, position);
  const copy = findCopyBefore(file.text, index);
  if (copy !== undefined) {
    fault(copy, copyFact, copyHint);
    return;
  }
  const command = /^\\\S*/.exec(file.text.slice(index))?.[0];
  if (command) {
    fault(
      index,
      `is a command of psql (${command}), not a statement`,
      'the file is run by the tool; write it in SQL',
    );
    return;
  }
  fault(index, error instanceof Error ? error.message : String(error));
}

export const copyFact = 'COPY FROM STDIN needs a client that feeds it';
export const copyHint = 'write the rows as INSERT … VALUES';

/** Where the COPY FROM STDIN starts whose rows are taken for a statement at the index. */
function findCopyBefore(text: string, index: number): number | undefined {
  const head = text.slice(0, index).trimEnd();
  if (!head.endsWith(';')) return undefined;
  const start = skipTrivia(head, head.lastIndexOf(';', head.length - 2) + 1);
  return /^copy\b.*\bfrom\s+stdin\b/is.test(head.slice(start)) ? start : undefined;
}

/** The last part of a called function's name. */
export function functionName(body: SyntaxNode): string {
  return stringOf(nodes(asNode(body.funccall).funcname).at(-1) ?? {});
}

/** The functions that a SELECT calls as its columns, as in `SELECT set_config(…)`. */
export function selectedFunctions(type: string, body: SyntaxNode): readonly string[] {
  if (type !== 'SelectStmt') return [];
  return nodes(body.targetList).map((target) => {
    const call = asNode(asNode(asNode(target.ResTarget).val).FuncCall);
    return stringOf(nodes(call.funcname).at(-1) ?? {});
  });
}

/** A table, view or sequence that ends with its session. */
export function isTemporary(relation: unknown): boolean {
  const { relpersistence, schemaname } = asNode(relation);
  return relpersistence === 't' || schemaname === 'pg_temp';
}
