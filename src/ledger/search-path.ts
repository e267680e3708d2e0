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
 * path that has the name of one of the server's or of an extension, or a type or relation with the name of an
 * extension's. Of functions PostgreSQL takes the one that fits the types best; the order of the path decides only
 * between equals. Call it before the session's search path is changed.
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
      message: `"${database}" has objects of other roles whose code migrations would run as "${user}"`,
      evidence: shadows.map(({ name, owner }) => `${name} belongs to the role "${owner}"`),
      hint: `drop or rename them; or, where they are trusted, let their owner become ${quoteIdentifier(user)}`,
    },
    { details: { names: shadows.map(({ name }) => name) } },
  );
}

/**
 * To belong to an extension is no excuse: the owner of an extension adds functions to it. What the server itself makes
 * for an extension belongs to a superuser. A cast needs no look: for types of the server only a superuser can create
 * one. Nor does a type or a relation with the name of one in pg_catalog, which is searched first.
 */
async function findShadows(sql: Sql): Promise<readonly Shadow[]> {
  return sql<Shadow[]>`
    with ${trustedRoles(sql)}, path (id) as (
      select oid from pg_namespace where nspname = 'public'
      union select extnamespace from pg_extension
    ), objects (kind, id, name, space, owner) as (
      select 'pg_proc'::regclass, oid, proname, pronamespace, proowner from pg_proc
      union all
      select 'pg_operator'::regclass, oid, oprname, oprnamespace, oprowner from pg_operator
      union all
      select 'pg_type'::regclass, oid, typname, typnamespace, typowner from pg_type
      union all
      select 'pg_class'::regclass, oid, relname, relnamespace, relowner from pg_class
      where relkind in ('r', 'p', 'v', 'm', 'f')
    ), called (kind, name) as (
      select kind, name from objects
      where space = 'pg_catalog'::regnamespace and kind in ('pg_proc'::regclass, 'pg_operator'::regclass)
      union
      select kind, name from objects join pg_depend on classid = kind and objid = id
      where deptype = 'e' and space in (select id from path)
    )
    select pg_get_userbyid(owner) as owner, case kind
        when 'pg_proc'::regclass then 'function ' || id::regprocedure
        when 'pg_operator'::regclass then 'operator ' || id::regoperator
        when 'pg_type'::regclass then 'type ' || id::regtype
        else 'relation ' || id::regclass
      end as name
    from objects join called using (kind, name)
    where space in (select id from path) and owner not in (select id from trusted)
    order by name`;
}

function withoutPublic({ server: { user, database } }: Session) {
  return new CryptosenseDbError('not-permitted', {
    message: `the role "${user}" cannot use a schema public in "${database}"`,
    evidence: ['migrations make their tables there'],
    hint: `let the owner of the database run: create schema if not exists public; grant usage, create on schema public to ${quoteIdentifier(user)}`,
  });
}
