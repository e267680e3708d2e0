import type { Direction } from '../runtime/progress.ts';
import { statementSpans } from '../sql/spans.ts';
import { skipTrivia } from '../sql/trivia.ts';

/** A comment by which another tool knows a part of a file. */
export interface ForeignMark {
  /** undefined: a pair of marks as several tools write it. */
  readonly tool: string | undefined;
  readonly mark: string;
  /** Where the comment starts, in UTF-16 units. */
  readonly index: number;
}

/** The group says which part follows. `both`: what is above the mark is the one part, what is below it the other. */
const marks: readonly (readonly [tool: string | undefined, pattern: RegExp])[] = [
  ['dbmate', /^--\s*migrate:(up|down)\b/i],
  ['goose', /^--\s*\+goose\s+(up|down)\b/i],
  ['sql-migrate', /^--\s*\+migrate\s+(up|down)\b/i],
  ['micrate', /^--\s*\+micrate\s+(up|down)\b/i],
  ['rambler', /^--\s*rambler\s+(up|down)\b/i],
  ['node-pg-migrate', /^--\s*(up|down)\s+migration\b/i],
  ['Play evolutions', /^(?:#\s*)?---?\s*!(up|down)s\b/i],
  ['shmig', /^--\s*=+\s*(up|down)\s*=+/i],
  ['tern', /^--+\s*create above\s*\/\s*drop (below)/i],
  ['MyBatis Migrations', /^--\s*(?:\/\/\s*)?@(undo)\b/i],
  ['Atlas', /^--\s*(migration|down)\.sql\s*--$/i],
];

/**
 * `-- Up`, `--- DOWN ---`, `-- @up`, `-- +tool Down`, `-- tool:up`, `-- +sqlup`, `-- Up Script`. A word before it needs a
 * sign: `-- set up` is prose.
 */
const plainMark =
  /^--[^\p{L}\p{N}]*(?:[+@!][\w-]+\s+|[\w-]+\s*[:=/.]\s*)?(?:sql)?(up|down)(?:\s+script)?[^\p{L}\p{N}]*$/iu;

/**
 * The first mark of another tool's file behind which the wrong half of a migration stands: what undoes it in a
 * migration, what applies it in a rollback. The tool would run both halves.
 */
export function findForeignMark(text: string, direction: Direction): ForeignMark | undefined {
  if (!mayHaveMark.test(text)) return undefined;
  const found: (ForeignMark & { readonly part: 'up' | 'down' | 'both' })[] = [];
  const plain: typeof found = [];
  const look = (comment: string, index: number, isBetween: boolean) => {
    const mark = comment.trimEnd();
    for (const [tool, pattern] of marks) {
      const [, word] = pattern.exec(mark) ?? [];
      if (word !== undefined) found.push({ tool, mark, index, part: partOf(word) });
    }
    const [, word] = (isBetween && plainMark.exec(mark)) || [];
    if (word !== undefined) plain.push({ tool: undefined, mark, index, part: partOf(word) });
  };
  for (const { from, to } of statementSpans(text, { onLineComment: look })) {
    const start = skipTrivia(text, from);
    if (start < to && text[start] === '#') look(lineAt(text, start), start, true);
  }
  const wrong = direction === 'up' ? 'down' : 'up';
  const [first] = found
    .filter(({ part }) => part === wrong || part === 'both')
    .sort((a, b) => a.index - b.index);
  if (first) return { tool: first.tool, mark: first.mark, index: first.index };
  const isPair = plain.some(({ part }) => part === direction);
  return isPair ? plain.find(({ part }) => part === wrong) : undefined;
}

/** Spares nearly every file the search for its comments. */
const mayHaveMark = /^\s*(?:--|#).*(?:up|down|undo|drop below|migration\.sql)/im;

function partOf(word: string): 'up' | 'down' | 'both' {
  const name = word.toLowerCase();
  if (name === 'migration') return 'up';
  return name === 'up' || name === 'down' ? name : 'both';
}

function lineAt(text: string, start: number): string {
  const end = text.indexOf('\n', start);
  return text.slice(start, end < 0 ? undefined : end);
}
