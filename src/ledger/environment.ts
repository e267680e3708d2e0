import type { Session } from '../database/connection.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import { quoteShellWord } from '../runtime/shell-words.ts';
import type { Environment } from './ledger.ts';

/** What a destructive operation is asked to do, and how the caller confirmed it. */
export interface DestructiveRequest {
  /** In words: "roll back migrations". */
  readonly operation: string;
  /** The database's name, typed by the caller to confirm. */
  readonly force?: string | undefined;
}

/**
 * Stops an operation that destroys data of a production database, unless `force` is the database's name. Any database
 * stops it when `force` is another name: the caller means another database. Throws `environment-refused`.
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
      evidence: force === undefined ? [] : [`--force names "${force}", which is another database`],
      hint: isProduction
        ? `if it must be done, confirm it with the database's name: --force ${quoteShellWord(database)}`
        : 'name the right database, or leave --force out',
    },
    { details: { environment } },
  );
}

/**
 * Marks the database as that environment unless it bears a mark already; a mark never changes.
 * Throws `environment-refused` when the database bears another mark.
 */
export async function markAs(session: Session, environment: Environment): Promise<void> {
  const [row] = await session.sql<{ mark: Environment }[]>`
    with marked as (
      insert into cryptosense_db.environment (name) values (${environment})
      on conflict (is_only) do nothing
      returning name
    )
    select name as mark from marked union all select name from cryptosense_db.environment`;
  requireMark(session, { mark: row?.mark, environment });
}

/** Throws `environment-refused` when the database bears another mark; a database without a mark passes. */
export function requireMark(
  { server: { database } }: Session,
  {
    mark,
    environment,
  }: {
    readonly mark: Environment | undefined;
    /** What the caller says that the database is; undefined when the caller says nothing. */
    readonly environment: Environment | undefined;
  },
): void {
  if (!mark || !environment || mark === environment) return;
  throw new CryptosenseDbError(
    'environment-refused',
    {
      message: `"${database}" is marked as ${mark}, not as ${environment}`,
      hint: `name the right database, or leave --env ${environment} out`,
    },
    { details: { environment: mark } },
  );
}
