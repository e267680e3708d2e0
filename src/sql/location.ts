/** A place in a file as editors count: line and column from 1, the column in characters. */
export interface Location {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** The whole line, without its end. */
  readonly lineText: string;
}

/** The place of an index in a text; the index counts UTF-16 units, as strings do. */
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

/** The index of the nth character, from 0. PostgreSQL counts characters, strings count UTF-16 units. */
export function indexOfCharacter(text: string, position: number): number {
  let index = 0;
  for (let count = 0; count < position && index < text.length; count += 1) {
    index += (text.codePointAt(index) ?? 0) > 0xffff ? 2 : 1;
  }
  return index;
}

function countLines(text: string, end: number): number {
  let lines = 1;
  for (let at = text.indexOf('\n'); at >= 0 && at < end; at = text.indexOf('\n', at + 1))
    lines += 1;
  return lines;
}
