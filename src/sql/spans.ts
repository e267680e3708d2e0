import { skipTrivia } from './trivia.ts';

/** Where a statement stands in a text: from the end of the one before it to its semicolon, or to the end of the text. */
export interface StatementSpan {
  readonly from: number;
  /** The index of the semicolon. */
  readonly to: number;
  /** Parts without which the statement is the same one to the grammar, in order; only long parts. */
  readonly omissions: readonly Omission[];
}

/** The inside of a long string, or all rows but the first of a long list of VALUES. */
export interface Omission {
  readonly from: number;
  readonly to: number;
  /** Rows that only a parser can judge, in pieces without a comma around them; none for a string. */
  readonly rows: readonly { readonly from: number; readonly to: number }[];
}

interface SpanOptions {
  readonly pieceLength?: number | undefined;
  /** Called for each comment that starts with two dashes; `isBetween`: it does not stand inside a statement. */
  readonly onLineComment?:
    | ((comment: string, index: number, isBetween: boolean) => void)
    | undefined;
}

interface List {
  /** How many parentheses are open around the list. */
  readonly depth: number;
  /** The end of the first row; undefined inside of it. */
  firstEnd: number | undefined;
  /** The end of the last row so far. */
  lastEnd: number;
  pieceFrom: number;
  /** All rows of the piece are plain ones. */
  isPlain: boolean;
  readonly pieces: { readonly from: number; readonly to: number }[];
}

/**
 * Finds the statements of a text without parsing them, by the rules of PostgreSQL's scanner and of psql: a semicolon
 * ends a statement outside strings, comments, parentheses and BEGIN ATOMIC … END. Parts are long beyond `pieceLength`.
 */
export function* statementSpans(
  text: string,
  { pieceLength = Number.POSITIVE_INFINITY, onLineComment }: SpanOptions = {},
): Generator<StatementSpan> {
  for (let from = 0; from < text.length; ) {
    const span = spanFrom(text, from, { pieceLength, onLineComment });
    yield span;
    from = span.to + 1;
  }
}

function spanFrom(
  text: string,
  from: number,
  { pieceLength = Number.POSITIVE_INFINITY, onLineComment }: SpanOptions,
): StatementSpan {
  let omissions: readonly Omission[] = [];
  const words: string[] = [];
  let depth = 0;
  let atomicDepth = 0;
  let isAfterValues = false;
  let list: List | undefined;
  const closeList = () => {
    if (list) omissions = omitList(omissions, list, pieceLength);
    list = undefined;
  };

  const between =
    onLineComment && ((comment: string, at: number) => onLineComment(comment, at, true));
  const inside =
    onLineComment && ((comment: string, at: number) => onLineComment(comment, at, false));

  for (let start = skipTrivia(text, from, between); start < text.length; ) {
    const end = endOfToken(text, start);
    const first = text.charAt(start);
    if (first === ';' && depth === 0 && atomicDepth === 0) {
      closeList();
      return { from, to: start, omissions };
    }
    if (list && depth === list.depth && first !== '(' && first !== ',') closeList();
    if (first === '(') {
      if (isAfterValues && !list) list = openList(depth);
      const isRow = list?.depth === depth;
      const plainEnd = isRow && list?.firstEnd ? endOfMatch(plainRow, text, start) : undefined;
      if (list && plainEnd !== undefined) {
        list.lastEnd = plainEnd;
        start = skipTrivia(text, plainEnd, inside);
        continue;
      }
      if (list && isRow) list.isPlain = false;
      depth += 1;
    } else if (first === ')') {
      depth = Math.max(0, depth - 1);
      if (list?.depth === depth) {
        list.firstEnd ??= end;
        list.lastEnd = end;
      }
    } else if (first === ',' && list?.depth === depth) {
      const isFirst = list.lastEnd === list.firstEnd;
      if (isFirst || start - list.pieceFrom >= pieceLength) {
        if (!isFirst) closePiece(list);
        list.pieceFrom = end;
        list.isPlain = true;
      }
    } else if (
      first === "'" &&
      end - start > pieceLength &&
      endOfQuoted(text, start + 1, first) === end
    ) {
      omissions = [...omissions, { from: start + 1, to: end - 1, rows: [] }];
    }
    const word = end - start <= longestKeyword ? text.slice(start, end).toLowerCase() : '';
    isAfterValues = word === 'values';
    if (words.length < 4) words.push(word);
    if (definesRoutine(words)) atomicDepth = atomicDepthAfter(word, atomicDepth);
    start = skipTrivia(text, end, inside);
  }
  closeList();
  return { from, to: text.length, omissions };
}

function openList(depth: number): List {
  return { depth, firstEnd: undefined, lastEnd: 0, pieceFrom: 0, isPlain: true, pieces: [] };
}

function closePiece({ pieces, pieceFrom: from, lastEnd: to, isPlain }: List): void {
  if (!isPlain) pieces.push({ from, to });
}

/** A short list stays. Strings in omitted rows are omitted with the rows. */
function omitList(
  omissions: readonly Omission[],
  list: List,
  pieceLength: number,
): readonly Omission[] {
  const { firstEnd, lastEnd, pieces } = list;
  if (firstEnd === undefined || lastEnd - firstEnd < pieceLength) return omissions;
  if (list.pieceFrom < lastEnd) closePiece(list);
  return [
    ...omissions.filter(({ to }) => to < firstEnd),
    { from: firstEnd, to: lastEnd, rows: pieces },
  ];
}

const longestKeyword = 'procedure'.length;

/** Semicolons between BEGIN ATOMIC and END are inside the definition of a function or procedure, and nowhere else. */
function definesRoutine([create, ...rest]: readonly string[]): boolean {
  const kind = rest[0] === 'or' && rest[1] === 'replace' ? rest[2] : rest[0];
  return create === 'create' && (kind === 'function' || kind === 'procedure');
}

/** As psql counts it: BEGIN opens a body, CASE opens an expression inside one, END closes either. */
function atomicDepthAfter(word: string, depth: number): number {
  if (word === 'begin' || (word === 'case' && depth > 0)) return depth + 1;
  return word === 'end' && depth > 0 ? depth - 1 : depth;
}

const blanks = '[ \\t\\n\\r\\f\\v]*';
const literal =
  "(?:[-+]?(?:\\d+(?:\\.\\d*)?|\\.\\d+)(?:e[-+]?\\d+)?|'[^']*(?:''[^']*)*'|null|true|false|default)";
/** A row of literals alone, which needs no parser. */
const plainRow = new RegExp(
  `\\(${blanks}${literal}(?:${blanks},${blanks}${literal})*${blanks}\\)`,
  'iy',
);
const word = /[a-z_\u0080-\uffff][\w$\u0080-\uffff]*/iy;
const number = /\d[\w.]*/y;
const dollarQuote = /\$(?:[a-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/iy;

/** The index after the token that starts at an index; after the text for a string without an end. */
export function endOfToken(text: string, start: number): number {
  const first = text.charAt(start);
  if (first === "'" || first === '"') return endOfQuoted(text, start + 1, first) ?? text.length;
  const wordEnd = endOfMatch(word, text, start);
  if (wordEnd !== undefined) {
    const isEscaping = wordEnd === start + 1 && /e/i.test(first) && text[wordEnd] === "'";
    return isEscaping ? endOfEscaped(text, wordEnd + 1) : wordEnd;
  }
  const tagEnd = first === '$' ? endOfMatch(dollarQuote, text, start) : undefined;
  if (tagEnd !== undefined) {
    const close = text.indexOf(text.slice(start, tagEnd), tagEnd);
    return close < 0 ? text.length : close + tagEnd - start;
  }
  return endOfMatch(number, text, start) ?? start + 1;
}

function endOfMatch(pattern: RegExp, text: string, start: number): number | undefined {
  pattern.lastIndex = start;
  return pattern.test(text) ? pattern.lastIndex : undefined;
}

/** undefined for a string that the text ends in. A doubled quote stands for one inside. */
function endOfQuoted(text: string, from: number, quote: string): number | undefined {
  for (let at = text.indexOf(quote, from); at >= 0; at = text.indexOf(quote, at + 2)) {
    if (text[at + 1] !== quote) return at + 1;
  }
  return undefined;
}

function endOfEscaped(text: string, from: number): number {
  for (let at = from; at < text.length; at += 1) {
    if (text[at] === '\\') at += 1;
    else if (text[at] === "'" && text[at + 1] === "'") at += 1;
    else if (text[at] === "'") return at + 1;
  }
  return text.length;
}
