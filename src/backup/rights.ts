import { quoteIdentifier } from '../database/connection.ts';
import { isSqlError } from '../database/sql-errors.ts';
import { CryptosenseDbError, isError } from '../runtime/errors.ts';

interface Missing {
  readonly pattern: RegExp;
  /** What the role may not do, with what the pattern has found. */
  readonly fact: (found: string) => string;
  readonly hint: (role: string, found: string) => string;
}

/** What a role that backs up needs (PostgreSQL, "Predefined Roles": pg_read_all_data reads neither of the first two). */
const rights: readonly Missing[] = [
  {
    pattern: /row-level security policy for table "([^"]+)"/,
    fact: (table) => `may not read every row of the table "${table}", which has row-level security`,
    hint: (role) => `let a superuser run: alter role ${role} bypassrls`,
  },
  {
    pattern: /permission denied for large object (\d+)/,
    fact: (id) => `may not read the large object ${id}`,
    hint: (role, id) =>
      `grant select on large object ${id} to ${role}; for all of them, let a superuser run: alter role ${role} set lo_compat_privileges = on`,
  },
  {
    pattern: /permission denied for (?:table|sequence|schema|view|materialized view) ([^\s:]+)/,
    fact: (name) => `may not read ${name}`,
    hint: (role) => `let the role read everything: grant pg_read_all_data to ${role}`,
  },
];

/** Says which right a role lacks, where the server has refused it or pg_dump for that. Returns other errors unchanged. */
export function explainRights(error: unknown, { user }: { readonly user: string }): unknown {
  const lines = wordsOf(error);
  for (const { pattern, fact, hint } of rights) {
    const [, found] = pattern.exec(lines.join('\n')) ?? [];
    if (found === undefined) continue;
    return new CryptosenseDbError(
      'not-permitted',
      {
        message: `the role "${user}" ${fact(found)}`,
        evidence: lines,
        hint: hint(quoteIdentifier(user), found),
      },
      { cause: error },
    );
  }
  return error;
}

function wordsOf(error: unknown): readonly string[] {
  if (isSqlError(error)) return [error.message];
  return isError(error, 'program-failed')
    ? error.problems.flatMap(({ evidence = [] }) => evidence)
    : [];
}
