/** The text as one word of a POSIX shell: in single quotes unless the shell takes it literally without them. */
export function quoteShellWord(text: string): string {
  return /^[\w.,:/@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
