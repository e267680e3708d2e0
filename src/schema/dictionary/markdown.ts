/** Text of a page, in which nothing is markup: one line, with `<br>` where it has line ends. */
export function plainText(text: string): string {
  return text
    .trim()
    .replaceAll(/\r\n?/g, '\n')
    .replaceAll(/[^\P{Cc}\n]/gu, ' ')
    .replaceAll(/[\\`*[\]|~]|(?<!\w)_|_(?!\w)/g, '\\$&')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll(/^[#+-]/gm, '\\$&')
    .replaceAll(/^(\d+)(?=[.)])/gm, '$1\\')
    .replaceAll(/ *\n+ */g, '<br>');
}

/** A text as inline code, on one line. A pipe ends a cell of a table, even in code. */
export function inlineCode(text: string): string {
  const flat = text.replaceAll(/[\p{Cc}\s]+/gu, ' ').trim();
  if (flat === '') return '';
  const longest = Math.max(0, ...(flat.match(/`+/g) ?? []).map(({ length }) => length));
  const fence = '`'.repeat(longest + 1);
  const gap = flat.startsWith('`') || flat.endsWith('`') ? ' ' : '';
  return `${fence}${gap}${flat}${gap}${fence}`.replaceAll('|', '\\|');
}

/** A block of code, with a fence that is longer than those within. */
export function codeBlock(language: string, text: string): string {
  const longest = Math.max(2, ...(text.match(/`+/g) ?? []).map(({ length }) => length));
  const fence = '`'.repeat(longest + 1);
  return `${fence}${language}\n${text.trimEnd()}\n${fence}`;
}

/** A table of cells that are Markdown. Columns without any text are left out. */
export function markdownTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const used = head.map((_, at) => at).filter((at) => rows.some((row) => (row[at] ?? '') !== ''));
  const line = (cells: readonly string[]) => `| ${used.map((at) => cells[at] ?? '').join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

/** A link to a page beside this one. */
export function linkTo(text: string, page: string): string {
  return `[${plainText(text)}](${encodeURI(page).replaceAll(/[()]/g, (each) => `%${each.charCodeAt(0).toString(16)}`)})`;
}
