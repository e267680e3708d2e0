/** Quotes a name as an identifier. Several parts make a qualified name, joined by dots. */
export function quoteIdentifier(...parts: readonly string[]): string {
  return parts.map((part) => `"${part.replaceAll('"', '""')}"`).join('.');
}

/** Quotes the parts of a name that PostgreSQL would read as another one, for statements that people type. */
export function quoteWhereNeeded(...parts: readonly string[]): string {
  return parts
    .map((part) => (plainName.test(part) && !reserved.has(part) ? part : quoteIdentifier(part)))
    .join('.');
}

const plainName = /^[a-z_][a-z0-9_]*$/;

/** The words that name no table or column without quotes: `pg_get_keywords()` of PostgreSQL 15, classes R and T. */
const reserved: ReadonlySet<string> = new Set([
  ...'all analyse analyze and any array as asc asymmetric authorization binary both case'.split(
    ' ',
  ),
  ...'cast check collate collation column concurrently constraint create cross'.split(' '),
  ...'current_catalog current_date current_role current_schema current_time'.split(' '),
  ...'current_timestamp current_user default deferrable desc distinct do else end except'.split(
    ' ',
  ),
  ...'false fetch for foreign freeze from full grant group having ilike in initially inner'.split(
    ' ',
  ),
  ...'intersect into is isnull join lateral leading left like limit localtime'.split(' '),
  ...'localtimestamp natural not notnull null offset on only or order outer overlaps'.split(' '),
  ...'placing primary references returning right select session_user similar some'.split(' '),
  ...'symmetric table tablesample then to trailing true union unique user using variadic'.split(
    ' ',
  ),
  ...'verbose when where window with'.split(' '),
]);

/** Quotes a text as a literal, for statements that take no parameters. */
export function quoteLiteral(text: string): string {
  return `E'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
}
