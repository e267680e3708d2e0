/** The most bytes of a name in PostgreSQL (NAMEDATALEN - 1). */
const mostBytes = 63;

/** A database's name with an end of its own. The name is cut where both would be too long. */
export function withSuffix(name: string, suffix: string): string {
  let start = name;
  while (Buffer.byteLength(start + suffix) > mostBytes) start = [...start].slice(0, -1).join('');
  return start + suffix;
}
