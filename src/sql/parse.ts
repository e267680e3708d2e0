import { createRequire } from 'node:module';
import { dirname, sep } from 'node:path';
import { messageOf } from '../runtime/errors.ts';
import { packageRoot } from '../runtime/package.ts';
import { indexOfCharacter } from './location.ts';
import { type Omission, type StatementSpan, statementSpans } from './spans.ts';
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

/** Where the grammar stopped, in UTF-16 units, and why: in PostgreSQL's own words, or because of the parser's memory. */
export type SyntaxFault =
  | { readonly kind: 'syntax'; readonly index: number; readonly reason: string }
  | { readonly kind: 'too-large'; readonly index: number; readonly bytes: number };

export type ParseResult =
  | { readonly statements: readonly ParsedStatement[]; readonly fault?: undefined }
  | { readonly fault: SyntaxFault; readonly statements?: undefined };

export type Parse = (text: string) => ParseResult;

/** A parser, and the major version of PostgreSQL whose grammar it has. */
export interface Grammar {
  readonly parse: Parse;
  readonly version: number;
}

/** The major version of the grammar that comes with this package. */
const ownVersion = 15;

/**
 * Loads a grammar, a WebAssembly module; a second call finds it loaded. This package comes with the grammar of
 * PostgreSQL 15. For a newer server, takes that of a libpg-query of the server's major version where one is installed
 * beside this package. A parser that ran out of memory is replaced by the next call.
 */
export async function loadGrammar({
  serverVersion = ownVersion,
}: {
  /** The server's major version. */
  readonly serverVersion?: number | undefined;
} = {}): Promise<Grammar> {
  const path = serverVersion > ownVersion ? findLibrary(serverVersion) : undefined;
  const version = path === undefined ? ownVersion : serverVersion;
  const library = loadLibrary(path);
  await library.loadModule();
  return { version, parse: (text) => parseText(library, text) };
}

type Library = Pick<typeof import('libpg-query'), 'loadModule' | 'parseSync'>;

const require = createRequire(import.meta.url);

/** The path of the libpg-query beside this package, as a project installs it, if it has that major version. */
function findLibrary(major: number): string | undefined {
  // From above the package: its own dependency is another version.
  const requireBeside = createRequire(dirname(packageRoot) + sep);
  try {
    const { version }: { version: string } = requireBeside('libpg-query/package.json');
    return version.startsWith(`${major}.`) ? requireBeside.resolve('libpg-query') : undefined;
  } catch {
    return undefined;
  }
}

/** The module starts while it is loaded, and takes hold of the console then: what it prints would mix with results. */
function loadLibrary(path: string | undefined): Library {
  const { log, error } = console;
  Object.assign(console, { log: () => {}, error: () => {} });
  try {
    return path === undefined ? require('libpg-query') : require(path);
  } finally {
    Object.assign(console, { log, error });
  }
}

/** Makes the next `loadGrammar` start a new module: this one has lost its memory, or its place in it. */
function discardLibrary(): void {
  for (const path of Object.keys(require.cache)) {
    if (path.includes(`${sep}libpg-query${sep}`)) delete require.cache[path];
  }
}

/** The parser needs some 200 bytes for each byte of a text: a longer text goes through it in pieces. */
const pieceLength = 128 * 1024;

function parseText(library: Library, text: string): ParseResult {
  if (text.length < 2 * pieceLength) return parsePiece(library, text);
  const statements: ParsedStatement[] = [];
  for (const { from, to, omissions } of piecesOf(text)) {
    const result = parseReduced(library, text.slice(from, to), shifted(omissions, -from));
    if (result.fault) return { fault: { ...result.fault, index: result.fault.index + from } };
    for (const statement of result.statements) {
      statements.push({ ...statement, index: statement.index + from });
    }
  }
  return { statements };
}

/** Short statements that stand together make one piece. */
function* piecesOf(text: string): Generator<StatementSpan> {
  let piece: StatementSpan | undefined;
  for (const span of statementSpans(text, { pieceLength })) {
    if (piece && span.to - piece.from > pieceLength) {
      yield piece;
      piece = undefined;
    }
    piece = {
      from: piece?.from ?? span.from,
      to: span.to,
      omissions: [...(piece?.omissions ?? []), ...span.omissions],
    };
  }
  if (piece) yield piece;
}

function shifted(omissions: readonly Omission[], by: number): readonly Omission[] {
  const move = (range: { readonly from: number; readonly to: number }) => ({
    from: range.from + by,
    to: range.to + by,
  });
  return omissions.map(({ rows, ...range }) => ({ ...move(range), rows: rows.map(move) }));
}

/** Parses a text without its long parts, and then the rows among them on their own. */
function parseReduced(library: Library, text: string, omissions: readonly Omission[]): ParseResult {
  if (omissions.length === 0) return parsePiece(library, text);
  let reduced = '';
  let copied = 0;
  for (const { from, to } of omissions) {
    reduced += text.slice(copied, from);
    copied = to;
  }
  reduced += text.slice(copied);
  const { statements, fault } = parsePiece(library, reduced);
  const original = (index: number) =>
    omissions.reduce((at, { from, to }) => (at >= from ? at + to - from : at), index);
  const faults = fault ? [{ ...fault, index: original(fault.index) }] : [];
  for (const { from, to } of omissions.flatMap(({ rows }) => rows)) {
    if (faults[0] && faults[0].index < from) break;
    const { fault: found } = parseText(library, `values ${text.slice(from, to)}`);
    if (!found) continue;
    faults.unshift({ ...found, index: found.index - 'values '.length + from });
    break;
  }
  const [first] = faults;
  if (first) return { fault: first };
  return {
    statements: (statements ?? []).map(({ index, text: { length }, node }) => {
      const start = original(index);
      return { index: start, text: text.slice(start, original(index + length)), node };
    }),
  };
}

function parsePiece(library: Library, text: string): ParseResult {
  // libpg-query refuses a blank text, which PostgreSQL accepts.
  if (text.trim() === '') return { statements: [] };
  const { exitCode } = process;
  let tree: unknown;
  try {
    tree = library.parseSync(text);
  } catch (error) {
    // Out of memory, the module ends as a program does.
    process.exitCode = exitCode;
    return { fault: faultOf(error, text) };
  }
  return { statements: statementsOf(text, nodes(asNode(tree).stmts)) };
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
  const { sqlDetails } = asNode(error);
  if (sqlDetails !== undefined && messageOf(error) !== 'out of memory') {
    const position = Number(asNode(sqlDetails).cursorPosition ?? 0);
    return { kind: 'syntax', index: indexOfCharacter(text, position), reason: messageOf(error) };
  }
  discardLibrary();
  const index = skipTrivia(text, 0);
  if (text.length > pieceLength && !(error instanceof RangeError)) {
    return { kind: 'too-large', index, bytes: Buffer.byteLength(text) };
  }
  return { kind: 'syntax', index, reason: 'the statement is nested too deeply for the parser' };
}
