/** The text as one word of a POSIX shell: in single quotes unless the shell takes it literally without them. */
export function quoteShellWord(text: string): string {
  return /^[\w.,:/@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/**
 * The words of a text as a POSIX shell splits them, with its quotes and backslashes, and without anything that a shell
 * would expand. undefined: a quote does not end.
 */
export function splitShellWords(text: string): readonly string[] | undefined {
  const words: string[] = [];
  const token = /\s+|'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)|([^\s'"\\]+)|(.)/gsy;
  let isInWord = false;
  for (const [match, single, double, escaped, plain, rest] of text.matchAll(token)) {
    if (rest !== undefined) return undefined;
    const part = single ?? double?.replace(/\\([$`"\\\n])/g, '$1') ?? escaped ?? plain;
    if (part === undefined) isInWord = false;
    else if (isInWord) words.push(`${words.pop()}${part}`);
    else words.push(part);
    isInWord = part !== undefined && match !== '';
  }
  return words;
}
