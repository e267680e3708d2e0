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

/** Turns the server's error for a missing privilege into `not-permitted`. Returns other errors unchanged. */
export function permissionProblem(error: unknown, problem: Problem): unknown {
  if (sqlState(error) !== sqlErrorCodes.insufficientPrivilege) return error;
  return new CryptosenseDbError(
    'not-permitted',
    { ...problem, evidence: [messageOf(error)] },
    { cause: error },
  );
}
