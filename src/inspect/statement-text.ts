/**
 * A statement on one line, without the texts in it: they may be data of people, or the password of CREATE ROLE. A server
 * cuts long statements, so the last text may have no end.
 */
export function withoutTexts(statement: string): string {
  return statement
    .replaceAll(/\$([A-Za-z_]\w*)?\$[\s\S]*?(?:\$\1\$|$)/g, "'…'")
    .replaceAll(/\b[eE]'(?:[^'\\]|''|\\[\s\S])*(?:'|\\?$)/g, "'…'")
    .replaceAll(/'(?:[^']|'')*(?:'|$)/g, "'…'")
    .replaceAll(/\s+/g, ' ')
    .trim();
}

/** The start of a statement, to tell it from others in a sentence. */
export function startOfStatement(statement: string): string {
  return statement.length <= 60 ? statement : `${statement.slice(0, 59)}…`;
}
