import type { Problem } from '../runtime/errors.ts';
import { excerpt, locate } from '../sql/location.ts';
import type { Parse, ParsedStatement, SyntaxFault } from '../sql/parse.ts';
import { asNode, nodes, type SyntaxNode, stringOf } from '../sql/tree.ts';
import { skipTrivia } from '../sql/trivia.ts';
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

/** undefined after a syntax error, which is reported. */
export function parse(
  grammar: Parse,
  file: SqlFile,
  fault: Fault,
): readonly ParsedStatement[] | undefined {
  const { statements, fault: found } = grammar(file.text);
  if (found) reportSyntaxError(file, found, fault);
  return statements;
}

function reportSyntaxError(file: SqlFile, { index, reason }: SyntaxFault, fault: Fault): void {
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
  fault(index, reason);
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
