import { CryptosenseDbError, messageOf, type Problem } from '../runtime/errors.ts';
import type { ServerFacts } from './client.ts';
import { quoteIdentifier } from './connection.ts';
import { sqlErrorCodes, sqlState } from './sql-errors.ts';

/** The problem of a role without CREATEDB. */
export function createProblem({ user }: Pick<ServerFacts, 'user'>): Problem {
  return {
    message: `the role "${user}" may not create databases`,
    hint: `let a superuser run: alter role ${quoteIdentifier(user)} createdb`,
  };
}

/** The problem of a role that may not read the server's catalog, which every role may by default. */
export function catalogProblem({
  user,
  database,
}: Pick<ServerFacts, 'user' | 'database'>): Problem {
  return {
    message: `the role "${user}" may not read the catalog of "${database}"`,
    hint: 'use a role that may read pg_catalog, as every role may by default',
  };
}

/** Turns the server's error for a missing privilege into `not-permitted`. Returns other errors unchanged. */
export function permissionProblem(error: unknown, problem: Problem): unknown {
  if (sqlState(error) !== sqlErrorCodes.insufficientPrivilege) return error;
  return new CryptosenseDbError(
    'not-permitted',
    { ...problem, evidence: [messageOf(error)] },
    { cause: error },
  );
}
