const excerptWidth = 72;

/** A line with its number, and a caret below the column; a long line is cut around the column. */
export function excerpt({
  line,
  column,
  lineText,
}: {
  readonly line: number;
  /** Counts characters from 1. */
  readonly column: number;
  readonly lineText: string;
}): readonly [string, string] {
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

/** The columns that a text takes on a terminal: East Asian wide characters and emoji take two. */
export function width(text: string): number {
  const wide = /[\p{Emoji_Presentation}\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}]/gu;
  const unseen = /\p{Mn}|\u200d|\ufe0f/gu;
  const visible = text.replaceAll(unseen, '');
  return [...visible].length + (visible.match(wide)?.length ?? 0);
}
