import { quoteIdentifier, type Session, type Sql } from '../database/connection.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import { trustedRoles } from './trust.ts';

/**
 * Statements that set the session's search path for files and seeders: `public`, then the schemas in which extensions
 * are. They replace what role, database or connection have set. The first one keeps functions of other schemas out of the
 * second.
 */
export const runSearchPath: readonly string[] = [
  'set search_path = pg_catalog',
  `select set_config('search_path', concat_ws(', ', 'public', (
    select string_agg(distinct quote_ident(nspname), ', ')
    from pg_extension join pg_namespace n on n.oid = extnamespace
    where nspname not in ('public', 'pg_catalog', 'cryptosense_db')
  )), false)`,
];

/** An object that a name in a file could mean in place of the server's or an extension's own. */
interface Shadow {
  readonly name: string;
  readonly owner: string;
}

/**
 * Refuses a database in which a file would call code of another role: a function or an operator on the run's search
 * path that has the name of one of the server's or of an extension. PostgreSQL takes the one that fits the types best;
 * the order of the path decides only between equals. Call it before the session's search path is changed.
 * Throws `schema-untrusted`, and `not-permitted` where schema public is missing or closed to the role.
 */
export async function requireSafePath(session: Session): Promise<void> {
  const [{ isOpen }] = await session.sql<[{ isOpen: boolean }]>`
    select coalesce(has_schema_privilege(to_regnamespace('public'), 'usage'), false) as "isOpen"`;
  if (!isOpen) throw withoutPublic(session);
  const shadows = await findShadows(session.sql);
  if (shadows.length === 0) return;
  const { user, database } = session.server;
  throw new CryptosenseDbError(
    'schema-untrusted',
    {
      message: `"${database}" has functions or operators of other roles that migrations would call as "${user}"`,
      evidence: shadows.map(({ name, owner }) => `${name} belongs to the role "${owner}"`),
      hint: `drop or rename them; or, where they are trusted, let their owner become ${quoteIdentifier(user)}`,
    },
    { details: { names: shadows.map(({ name }) => name) } },
  );
}

/** A cast needs no look: for types of the server only a superuser can create one. */
async function findShadows(sql: Sql): Promise<readonly Shadow[]> {
  return sql<Shadow[]>`
    with ${trustedRoles(sql)}, path (id) as (
      select oid from pg_namespace where nspname = 'public'
      union select extnamespace from pg_extension
    ), members as (
      select classid, objid from pg_depend where deptype = 'e'
    ), foreign_operators as (
      select o.* from pg_operator o
      where oprnamespace in (select id from path) and oprowner not in (select id from trusted)
        and not exists (select from members where classid = 'pg_operator'::regclass and objid = o.oid)
    ), foreign_functions as (
      select p.* from pg_proc p
      where pronamespace in (select id from path) and proowner not in (select id from trusted)
        and not exists (select from members where classid = 'pg_proc'::regclass and objid = p.oid)
    )
    select 'operator ' || f.oid::regoperator as name, pg_get_userbyid(oprowner) as owner
    from foreign_operators f
    where exists (
      select from pg_operator o where o.oprname = f.oprname and (
        oprnamespace = 'pg_catalog'::regnamespace
        or exists (select from members where classid = 'pg_operator'::regclass and objid = o.oid)
      )
    )
    union all
    select 'function ' || f.oid::regprocedure, pg_get_userbyid(proowner)
    from foreign_functions f
    where exists (
      select from pg_proc p where p.proname = f.proname and (
        pronamespace = 'pg_catalog'::regnamespace
        or exists (select from members where classid = 'pg_proc'::regclass and objid = p.oid)
      )
    )
    order by 1`;
}

function withoutPublic({ server: { user, database } }: Session) {
  return new CryptosenseDbError('not-permitted', {
    message: `the role "${user}" cannot use a schema public in "${database}"`,
    evidence: ['migrations make their tables there'],
    hint: `let the owner of the database run: create schema if not exists public; grant usage, create on schema public to ${quoteIdentifier(user)}`,
  });
}
