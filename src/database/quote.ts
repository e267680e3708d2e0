/** Quotes a name as an identifier. Several parts make a qualified name, joined by dots. */
export function quoteIdentifier(...parts: readonly string[]): string {
  return parts.map((part) => `"${part.replaceAll('"', '""')}"`).join('.');
}

/** Quotes a text as a literal, for statements that take no parameters. */
export function quoteLiteral(text: string): string {
  return `E'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
}
