const blank = /[ \t\n\r\f\v]+/y;
const lineComment = /--[^\n]*/y;

/** The index of the first character at or after `from` that is neither white space nor comment. */
export function skipTrivia(
  text: string,
  from: number,
  onLineComment?: (comment: string, index: number) => void,
): number {
  let index = from;
  for (;;) {
    blank.lastIndex = index;
    lineComment.lastIndex = index;
    if (blank.test(text)) index = blank.lastIndex;
    else if (lineComment.test(text)) {
      onLineComment?.(text.slice(index, lineComment.lastIndex), index);
      index = lineComment.lastIndex;
    } else if (text.startsWith('/*', index)) index = skipBlockComment(text, index);
    else return index;
  }
}

/** The index after the last character that is not white space. */
export function endOfText(text: string): number {
  let end = text.length;
  while (end > 0 && ' \t\n\r\f\v'.includes(text.charAt(end - 1))) end -= 1;
  return end;
}

/** Block comments nest, as in the SQL standard. */
function skipBlockComment(text: string, from: number): number {
  let depth = 0;
  let index = from;
  do {
    if (text.startsWith('/*', index)) {
      depth += 1;
      index += 2;
    } else if (text.startsWith('*/', index)) {
      depth -= 1;
      index += 2;
    } else index += 1;
  } while (depth > 0 && index < text.length);
  return index;
}
