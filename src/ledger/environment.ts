import type { Session } from '../database/connection.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import { quoteShellWord } from '../runtime/shell-words.ts';
import { type Environment, markEnvironment } from './ledger.ts';

/** What a destructive operation is asked to do, and how it was confirmed. */
export interface DestructiveRequest {
  /** In words: "roll back migrations". */
  readonly operation: string;
  /** The database's name, as the caller typed it to confirm. */
  readonly force?: string | undefined;
}

/**
 * A production database refuses what destroys data, unless `force` is its name. Any database does
 * when `force` is another name: it is not the one that is meant. Throws `environment-refused`.
 */
export function guardProduction(
  { server: { database } }: Session,
  environment: Environment | undefined,
  { operation, force }: DestructiveRequest,
): void {
  if (force === database) return;
  const isProduction = environment === 'production';
  if (!isProduction && force === undefined) return;
  throw new CryptosenseDbError(
    'environment-refused',
    {
      message: `"${database}" ${isProduction ? 'is a production database and ' : ''}refuses to ${operation}`,
      evidence: force === undefined ? [] : [`--force names "${force}", which is not this database`],
      hint: isProduction
        ? `when it has to be, confirm it with the database's name: --force ${quoteShellWord(database)}`
        : 'name the right database, or leave --force out',
    },
    { details: { environment } },
  );
}

/** Marks a database that bears no mark yet. Throws `environment-refused` when it bears another. */
export async function markAs(session: Session, environment: Environment): Promise<void> {
  const mark = await markEnvironment(session, environment);
  if (mark !== environment) throw markedOtherwise(session, { mark, environment });
}

/** Throws `environment-refused` when the database bears another mark. */
export function requireMark(
  session: Session,
  marks: { readonly mark: Environment | undefined; readonly environment: Environment | undefined },
): void {
  const { mark, environment } = marks;
  if (mark && environment && mark !== environment) {
    throw markedOtherwise(session, { mark, environment });
  }
}

function markedOtherwise(
  { server: { database } }: Session,
  { mark, environment }: { readonly mark: Environment; readonly environment: Environment },
): CryptosenseDbError<'environment-refused'> {
  return new CryptosenseDbError(
    'environment-refused',
    {
      message: `"${database}" is marked as ${mark}, not as ${environment}`,
      hint: `name the right database, or leave --env ${environment} out`,
    },
    { details: { environment: mark } },
  );
}
