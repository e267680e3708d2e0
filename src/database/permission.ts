import { CryptosenseDbError, messageOf, type Problem } from '../runtime/errors.ts';
import type { ServerFacts } from './client.ts';
import { quoteIdentifier } from './connection.ts';
import { sqlErrorCodes, sqlState } from './sql-errors.ts';

/** What a role without CREATEDB is told. */
export function createProblem({ user }: Pick<ServerFacts, 'user'>): Problem {
  return {
    message: `the role "${user}" may not create databases`,
    hint: `let a superuser run: alter role ${quoteIdentifier(user)} createdb`,
  };
}

/** The server's refusal for want of a right as `not-permitted`; any other error as it is. */
export function permissionProblem(error: unknown, problem: Problem): unknown {
  if (sqlState(error) !== sqlErrorCodes.insufficientPrivilege) return error;
  return new CryptosenseDbError(
    'not-permitted',
    { ...problem, evidence: [messageOf(error)] },
    { cause: error },
  );
}
