import type { Session, Sql } from '../database/connection.ts';
import type { Script } from './parse.ts';

/** What the next file would meet in this session, and not in a session of its own. */
export interface SessionFacts {
  /** The settings of role and database, which a session takes when it opens. */
  readonly settings: string;
  readonly hasPrepared: boolean;
}

export async function readSessionFacts(sql: Sql): Promise<SessionFacts> {
  // It runs under the search path of files. In a transaction, a DEALLOCATE ALL of the file would fail it.
  const [facts] = await sql<[SessionFacts]>`
    select
      coalesce((
        select pg_catalog.string_agg(setconfig::pg_catalog.text, ' ' order by setdatabase, setrole)
        from pg_catalog.pg_db_role_setting
        where (setdatabase operator(pg_catalog.=) 0 or setdatabase operator(pg_catalog.=) (
            select oid from pg_catalog.pg_database
            where datname operator(pg_catalog.=) pg_catalog.current_database()))
          and (setrole operator(pg_catalog.=) 0 or setrole operator(pg_catalog.=) (
            select oid from pg_catalog.pg_roles where rolname operator(pg_catalog.=) session_user))
      ), '') as settings,
      exists (select from pg_catalog.pg_prepared_statements where from_sql) as "hasPrepared"`;
  return facts;
}

/**
 * True when the script has changed what no RESET undoes, so that the next file needs a new session to do the same as
 * it does alone. The embedded engine has no second session.
 */
export async function leavesTraces(
  { sql, target }: Session,
  { statements }: Script,
  before: SessionFacts,
): Promise<boolean> {
  if (target.kind === 'embedded') return false;
  if (hasWord(statements, trace)) return true;
  const { settings, hasPrepared } = await readSessionFacts(sql);
  return hasPrepared || settings !== before.settings;
}

/** As `leavesTraces`, as far as the text decides: true also where the server would show that nothing is left. */
export function mayLeaveTraces({ statements }: Script): boolean {
  return hasWord(statements, trace) || hasWord(statements, shownTrace);
}

function hasWord(statements: Script['statements'], words: RegExp): boolean {
  return statements.some(({ text }) => words.test(text));
}

/** Words for what the server shows: the settings of role and database, and prepared statements. */
const shownTrace = /\b(?:alter\s+(?:role|user|database)|prepare)\b/i;

/**
 * Words for what the server does not show: libraries, settings of one's own (a reset leaves them empty, not unknown),
 * advisory locks, the seed of random(), and connections and variables of extensions. A word too many costs one
 * connection.
 */
const trace =
  /\b(?:load|set_config|setseed|dblink\w*|pg_(?:try_)?advisory_lock\w*|pg_replication_origin\w*|plperlu?|plpython3?u|pltclu?)\b|\bset\s+(?:local\s+|session\s+)?(?:"[^"]+"|\w+)\s*\./i;
