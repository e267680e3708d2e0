import { indexOfCharacter } from './location.ts';
import { asNode, nodes, type SyntaxNode, typed } from './tree.ts';
import { endOfText, skipTrivia } from './trivia.ts';

/** A statement of a text, without the comments around it and without its semicolon. */
export interface ParsedStatement {
  readonly text: string;
  /** Where `text` starts, in UTF-16 units. */
  readonly index: number;
  readonly node: StatementNode;
}

/** A statement's node type, such as `CopyStmt`, and the fields below it. */
export interface StatementNode {
  readonly type: string;
  readonly body: SyntaxNode;
}

export interface SyntaxFault {
  /** Where the grammar stopped, in UTF-16 units. */
  readonly index: number;
  /** PostgreSQL's own message. */
  readonly reason: string;
}

export type ParseResult =
  | { readonly statements: readonly ParsedStatement[]; readonly fault?: undefined }
  | { readonly fault: SyntaxFault; readonly statements?: undefined };

export type Parse = (text: string) => ParseResult;

/** Loads the grammar of PostgreSQL 15, a WebAssembly module; a second call finds it loaded. */
export async function loadGrammar(): Promise<Parse> {
  const { loadModule, parseSync } = await import('libpg-query');
  await loadModule();
  return (text) => {
    // libpg-query refuses a blank text, which PostgreSQL accepts.
    if (text.trim() === '') return { statements: [] };
    let tree: unknown;
    try {
      tree = parseSync(text);
    } catch (error) {
      return { fault: faultOf(error, text) };
    }
    return { statements: statementsOf(text, nodes(asNode(tree).stmts)) };
  };
}

/** libpg-query counts in bytes of UTF-8, and starts a statement at the comments before it. */
function statementsOf(text: string, raws: readonly SyntaxNode[]): readonly ParsedStatement[] {
  const bytes = Buffer.from(text, 'utf8');
  const isAscii = bytes.length === text.length;
  let byteAt = 0;
  let indexAt = 0;
  return raws.map((raw) => {
    const from = Number(raw.stmt_location ?? 0);
    const length = Number(raw.stmt_len ?? bytes.length - from);
    indexAt += isAscii ? from - byteAt : bytes.toString('utf8', byteAt, from).length;
    byteAt = from;
    const whole = isAscii
      ? text.slice(from, from + length)
      : bytes.toString('utf8', from, from + length);
    const start = skipTrivia(whole, 0);
    return {
      text: whole.slice(start, endOfText(whole)),
      index: indexAt + start,
      node: typed(raw.stmt),
    };
  });
}

/** Also for what is not an error of the grammar, such as a statement that is nested too deeply. */
function faultOf(error: unknown, text: string): SyntaxFault {
  const details = asNode(asNode(error).sqlDetails);
  const position = Number(details.cursorPosition ?? 0);
  const reason = error instanceof Error ? error.message : String(error);
  return { index: indexOfCharacter(text, position), reason };
}
