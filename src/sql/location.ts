/** A place in a file, as editors count: line and column from 1, the column in characters. */
export interface Location {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** The whole line, without its end. */
  readonly lineText: string;
}

/** The place of an index into a text (in UTF-16 units, as strings count). */
export function locate(file: string, text: string, index: number): Location {
  const start = text.lastIndexOf('\n', index - 1) + 1;
  const end = text.indexOf('\n', index);
  return {
    file,
    line: countLines(text, start),
    column: [...text.slice(start, index)].length + 1,
    lineText: text.slice(start, end < 0 ? undefined : end),
  };
}

/** The index of the nth character (from 0); PostgreSQL counts characters, strings UTF-16 units. */
export function indexOfCharacter(text: string, position: number): number {
  let index = 0;
  for (let count = 0; count < position && index < text.length; count += 1) {
    index += (text.codePointAt(index) ?? 0) > 0xffff ? 2 : 1;
  }
  return index;
}

const excerptWidth = 72;

/** The line of a place with its number, and a caret below the column; long lines are cut. */
export function excerpt({ line, column, lineText }: Location): readonly [string, string] {
  const characters = [...lineText.replaceAll('\t', ' ')];
  const from = Math.max(
    0,
    Math.min(column - 1 - excerptWidth / 2, characters.length - excerptWidth),
  );
  const shown = characters.slice(from, from + excerptWidth);
  const margin = `${line} | ${from > 0 ? '… ' : ''}`;
  const cut = from + excerptWidth < characters.length ? ' …' : '';
  const before = shown.slice(0, column - 1 - from).join('');
  return [`${margin}${shown.join('')}${cut}`, `${' '.repeat(margin.length + width(before))}^`];
}

/** Columns that a text takes on a terminal: East Asian wide characters and emoji take two. */
export function width(text: string): number {
  const wide = /[\p{Emoji_Presentation}\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}]/gu;
  const unseen = /\p{Mn}|\u200d|\ufe0f/gu;
  const visible = text.replaceAll(unseen, '');
  return [...visible].length + (visible.match(wide)?.length ?? 0);
}

function countLines(text: string, end: number): number {
  let lines = 1;
  for (let at = text.indexOf('\n'); at >= 0 && at < end; at = text.indexOf('\n', at + 1))
    lines += 1;
  return lines;
}
