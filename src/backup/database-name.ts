import { CryptosenseDbError } from '../runtime/errors.ts';

/** The most bytes of a name in PostgreSQL (NAMEDATALEN - 1). */
const mostBytes = 63;

/** A database's name with an end of its own. The name is cut where both would be too long. */
export function withSuffix(name: string, suffix: string): string {
  let start = name;
  while (Buffer.byteLength(start + suffix) > mostBytes) start = [...start].slice(0, -1).join('');
  return start + suffix;
}

/** Throws `bad-configuration` for a name that PostgreSQL would cut, so that the database has another one. */
export function requireName(name: string): void {
  const bytes = Buffer.byteLength(name);
  if (bytes <= mostBytes) return;
  throw new CryptosenseDbError('bad-configuration', {
    message: `the name of the new database has ${bytes} bytes, and PostgreSQL takes ${mostBytes} at most`,
    evidence: [name],
    hint: 'name a shorter one with --into',
  });
}
