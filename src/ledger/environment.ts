import { quoteLiteral, type Session } from '../database/connection.ts';
import { CryptosenseDbError, type Problem } from '../runtime/errors.ts';
import { quoteShellWord } from '../runtime/shell-words.ts';
import type { Environment } from './marks.ts';
import { findRows, type RowsThatCount } from './rows.ts';
import type { Run } from './run.ts';

/** What a destructive operation is asked to do, and how the caller confirmed it. */
export interface DestructiveRequest {
  /** In words: "roll back migrations". */
  readonly operation: string;
  /** In a database without a mark. */
  readonly count: RowsThatCount;
  /** The database's name, typed by the caller to confirm. */
  readonly force?: string | undefined;
}

/**
 * Stops an operation that destroys data of a production or staging database, or of a database that has rows and no
 * mark, unless `force` is the database's name. Any database stops it when `force` is another name: the caller means
 * another database. Throws `environment-refused`.
 */
export async function guardDestruction(
  { session, ledger: { environment, format } }: Pick<Run, 'session' | 'ledger'>,
  { operation, count, force }: DestructiveRequest,
): Promise<void> {
  const { database } = session.server;
  if (isName(force, database)) return;
  if (environment === 'production' || environment === 'staging') {
    throw refused(environment, {
      message: `"${database}" is a ${environment} database and refuses to ${operation}`,
      evidence: force === undefined ? [] : [namesAnother(force)],
      hint: `if it must be done, confirm it with the database's name: ${forceFlag(database)}`,
    });
  }
  requireName(session, { environment, force, operation });
  if (environment !== undefined) return;
  const rows = await findRows(session, { count, hasLedger: format > 0 });
  if (rows.length === 0) return;
  throw refused(environment, {
    message: `"${database}" has no mark, and has rows that may be production data; it refuses to ${operation}`,
    evidence: rows,
    hint: `mark a development database first: cryptosense-db db mark dev; or confirm it with the database's name: ${forceFlag(database)}`,
  });
}

/**
 * Stops a run that would mark a database as one that anybody may empty, while it has rows and no mark: only
 * `db mark` does that. Throws `environment-refused`.
 */
export async function guardMark(
  { session, ledger }: Pick<Run, 'session' | 'ledger'>,
  environment: Environment,
): Promise<void> {
  if (ledger.environment !== undefined || environment === 'production' || environment === 'staging')
    return;
  const rows = await findRows(session, { count: 'tables in use', hasLedger: ledger.format > 0 });
  if (rows.length === 0) return;
  throw refused(undefined, {
    message: `"${session.server.database}" has no mark, and has rows that may be production data; a run does not mark it as ${environment}`,
    evidence: rows,
    hint: `if it is not production, run: cryptosense-db db mark ${environment}`,
  });
}

/**
 * Stops an operation that tries something out, unless the database is marked as one that may be lost.
 * Throws `environment-refused`.
 */
export function requireCopy({
  session,
  ledger: { environment },
}: Pick<Run, 'session' | 'ledger'>): void {
  if (environment === 'dev' || environment === 'test') return;
  const { database } = session.server;
  const what = environment === undefined ? 'has no mark' : `is a ${environment} database`;
  const force = environment === undefined ? '' : ` ${forceFlag(database)}`;
  throw refused(environment, {
    message: `"${database}" ${what}; migrations are measured in a copy that is marked as dev or test`,
    hint: `if it is a copy, mark it with its own URL: cryptosense-db db mark test${force} --url URL`,
  });
}

/** Throws `environment-refused` when `force` is given and names another database. */
function requireName(
  { server: { database } }: Session,
  {
    environment,
    force,
    operation,
  }: Omit<DestructiveRequest, 'count'> & { readonly environment: Environment | undefined },
): void {
  if (force === undefined || isName(force, database)) return;
  throw refused(environment, {
    message: `"${database}" refuses to ${operation}`,
    evidence: [namesAnother(force)],
    hint: 'name the right database, or leave --force out',
  });
}

/**
 * Marks the database as that environment unless it bears a mark already.
 * Throws `environment-refused` when the database bears another mark.
 */
export async function markAs(session: Session, environment: Environment): Promise<void> {
  const [row] = await session.sql.unsafe<{ mark: Environment }[]>(firstMark(environment));
  requireMark(session, { mark: row?.mark, environment });
}

/** A statement that marks a database without a mark, and returns the mark that the database bears then. */
export function firstMark(environment: Environment): string {
  return `
    with marked as (
      insert into cryptosense_db.environment (name) values (${quoteLiteral(environment)})
      on conflict (is_only) do nothing
      returning name
    )
    select name as mark from marked union all select name from cryptosense_db.environment`;
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
  throw refused(mark, {
    message: `"${database}" is marked as ${mark}, not as ${environment}`,
    hint: `name the right database, or leave --env ${environment} out; ${howToChange(database, environment)}`,
  });
}

/**
 * Marks the database, also one that bears another mark, and logs it. Call `requireConfirmed` and `ensureLedger` first.
 */
export async function changeMark(
  { session, writer }: Run,
  {
    before,
    environment,
    copyOf,
  }: {
    readonly before: Environment | undefined;
    readonly environment: Environment;
    /** The backup that the database was restored from. */
    readonly copyOf?: string | undefined;
  },
): Promise<void> {
  const was = before === undefined ? 'it had no mark' : `it was ${before}`;
  const detail = copyOf === undefined ? was : `${was}; restored from the backup ${copyOf}`;
  await session.sql`
    with marked as (
      insert into cryptosense_db.environment (name) values (${environment})
      on conflict (is_only) do update
        set name = excluded.name, marked_at = clock_timestamp(), marked_by = session_user
      returning name
    )
    insert into cryptosense_db.migration_log (event, version, description, detail, tool_version)
    select 'mark', '', name, ${detail}::text, ${writer.toolVersion}::text from marked`;
}

/** Throws `environment-refused` when the change of a mark is not confirmed with the database's name. The first mark needs no confirmation. */
export function requireConfirmed(
  session: Session,
  {
    before,
    environment,
    force,
  }: {
    readonly before: Environment | undefined;
    readonly environment: Environment;
    readonly force: string | undefined;
  },
): void {
  const { database } = session.server;
  requireName(session, { environment: before, force, operation: 'change its mark' });
  if (before === undefined || before === environment || force !== undefined) return;
  throw refused(before, {
    message: `"${database}" is marked as ${before}`,
    hint: howToChange(database, environment),
  });
}

function refused(environment: Environment | undefined, problem: Problem) {
  return new CryptosenseDbError('environment-refused', problem, { details: { environment } });
}

/** One name can have two spellings in Unicode, and a keyboard writes only one of them. */
function isName(force: string | undefined, database: string): boolean {
  return force?.normalize() === database.normalize();
}

function namesAnother(force: string): string {
  return `--force names "${force}", which is another database`;
}

function forceFlag(database: string): string {
  return `--force ${quoteShellWord(database)}`;
}

function howToChange(database: string, environment: Environment): string {
  return `change the mark with: cryptosense-db db mark ${environment} ${forceFlag(database)}`;
}
