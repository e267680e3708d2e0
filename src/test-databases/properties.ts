import type { Sql } from '../database/connection.ts';

/**
 * The statements that give a copy of a template what CREATE DATABASE … TEMPLATE does not copy, because it belongs to the database and not
 * to its content: settings (ALTER DATABASE SET, ALTER ROLE … IN DATABASE SET), privileges, the limit of connections
 * and the comment. Migrations may set them on their database. None where there is no such template.
 */
export async function propertiesOf(
  sql: Sql,
  { template, copy }: { readonly template: string; readonly copy: string },
): Promise<readonly string[]> {
  const rows = await sql<{ statement: string }[]>`
    with source as (
      select oid, datdba, datconnlimit,
        coalesce(datacl, acldefault('d', datdba)) as acl, acldefault('d', datdba) as "default"
      from pg_database where datname = ${template}::name
    ),
    held as (
      select grantee, privilege_type, is_grantable, place
      from source, aclexplode(acl) with ordinality as acl (grantor, grantee, privilege_type, is_grantable, place)
    ),
    usual as (
      select grantee, privilege_type, is_grantable from source, aclexplode("default")
    ),
    settings as (
      select setrole, split_part(setting, '=', 1) as name, substr(setting, strpos(setting, '=') + 1) as value, place
      from source join pg_db_role_setting on setdatabase = oid,
        unnest(setconfig) with ordinality as config (setting, place)
    )
    select statement from (
      select 1 as part, 0 as place,
        format('revoke %s on database %I from %s', privilege_type, ${copy}::text, ${roleOf(sql)})
      from (
        select grantee, privilege_type from usual except select grantee, privilege_type from held
      ) as missing
      union all
      select 2, place, format('grant %s on database %I to %s%s', privilege_type, ${copy}::text, ${roleOf(sql)},
        case when is_grantable then ' with grant option' end)
      from held
      where not exists (
        select from usual u
        where (u.grantee, u.privilege_type, u.is_grantable)
          = (held.grantee, held.privilege_type, held.is_grantable)
      )
      union all
      select 3, place, format('alter %s set %I = %s',
        case when setrole = 0 then format('database %I', ${copy}::text)
          else format('role %I in database %I', pg_get_userbyid(setrole), ${copy}::text) end,
        name,
        -- Lists of names (GUC_LIST_QUOTE) are kept as they stand in the statement.
        case when name in ('local_preload_libraries', 'search_path', 'session_preload_libraries',
            'shared_preload_libraries', 'temp_tablespaces') then replace(value, '""', '''''') else quote_literal(value) end)
      from settings
      union all
      select 4, 0, format('alter database %I connection limit %s', ${copy}::text, datconnlimit)
      from source where datconnlimit <> -1
      union all
      select 5, 0, format('comment on database %I is %L', ${copy}::text, shobj_description(oid, 'pg_database'))
      from source
    ) as statements (part, place, statement)
    order by part, place`;
  return rows.map(({ statement }) => statement);
}

/** The grantee as a statement names it. */
function roleOf(sql: Sql) {
  return sql`case when grantee = 0 then 'public' else quote_ident(pg_get_userbyid(grantee)) end`;
}
