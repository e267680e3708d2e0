import type { Sql } from '../database/connection.ts';
import { compareText } from '../runtime/order.ts';
import type { Manifest, ManifestTable } from './manifest.ts';

/** How values are written as text, so that equal rows have equal hashes on every server. */
export const hashSettings = `
  set local search_path = pg_catalog; set local timezone = 'UTC'; set local datestyle = 'ISO, YMD';
  set local intervalstyle = 'postgres'; set local bytea_output = 'hex'; set local extra_float_digits = 1;
  set local xmlbinary = 'base64'; set local quote_all_identifiers = off`;

export interface FoundTable {
  readonly name: string;
  readonly kind: ManifestTable['kind'];
  /** Their quoted names, in order. */
  readonly columns: readonly string[];
  /** false: the WAL has none of its rows, and a server that replays WAL cannot read it. */
  readonly isLogged: boolean;
}

/**
 * Counts and hashes the rows of every table, and of the hypertables that store continuous aggregates. Call it in a
 * transaction with `hashSettings`. Extensions keep their own tables: these are left out, and so are materialized views,
 * because a dump has none of their rows.
 */
export async function readTables(
  sql: Sql,
  { onTable }: { readonly onTable: (done: number, total: number) => void },
): Promise<readonly ManifestTable[]> {
  const found = (await findTables(sql)).filter(({ kind }) => kind !== 'materialized view');
  const tables: ManifestTable[] = [];
  for (const [index, table] of found.entries()) {
    onTable(index, found.length);
    tables.push(await readTable(sql, table));
  }
  onTable(found.length, found.length);
  return tables;
}

/** Counts and hashes the rows of one table. Call it in a transaction with `hashSettings`. */
export async function readTable(
  sql: Sql,
  { name, kind, columns }: Pick<FoundTable, 'name' | 'kind' | 'columns'>,
): Promise<ManifestTable> {
  // A chunk belongs to its hypertable; the rows of a table that another one inherits from are its own.
  const source = kind === 'hypertable' ? name : `only ${name}`;
  // By name: a restored table that inherits a column which its parent got later has its columns in another order.
  const values = columns.map((column) => `cryptosense_db_row.${column}`).join(', ');
  const [row] = await sql.unsafe<[{ rows: string; hash: string }]>(`
    select count(*)::text as rows,
      coalesce(sum(hashtextextended(row(${values})::text, 0)), 0)::text as hash
    from ${source} as cryptosense_db_row`);
  return { name, kind, rows: Number(row.rows), hash: row.hash };
}

/** The tables that a manifest lists, and materialized views that are populated. */
export async function findTables(sql: Sql): Promise<readonly FoundTable[]> {
  const hypertables = await readHypertableNames(sql);
  const rows = await sql<FoundTable[]>`
    with listed as (select * from json_array_elements_text(${JSON.stringify(hypertables)}::text::json) as name),
    found as (
      select c.*, format('%I.%I', n.nspname, c.relname) as name
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where c.relkind in ('r', 'm') and c.relpersistence <> 't'
        and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
        and (c.relkind <> 'm' or c.relispopulated)
        and not exists (
          select from pg_depend d
          where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
        )
    )
    select name, relpersistence = 'p' as "isLogged",
      case when name in (table listed) then 'hypertable' when relkind = 'm' then 'materialized view'
        else 'table' end as kind,
      array(
        select quote_ident(attname) from pg_attribute
        where attrelid = found.oid and attnum > 0 and not attisdropped order by attname
      ) as columns
    from found
    where name in (table listed)
      -- Chunks are in a schema of TimescaleDB's.
      or not exists (
        select from pg_depend d join pg_extension e on e.oid = d.refobjid
        where d.classid = 'pg_namespace'::regclass and d.objid = found.relnamespace
          and d.refclassid = 'pg_extension'::regclass and d.deptype = 'e' and e.extname = 'timescaledb'
      )
    order by name in (table listed), name`;
  return [...rows];
}

/** Those of users, and those that store continuous aggregates; not those of compressed chunks, which cannot be read. */
async function readHypertableNames(sql: Sql): Promise<readonly string[]> {
  if (!(await hasTimescale(sql))) return [];
  const rows = await sql<{ name: string }[]>`
    select format('%I.%I', schema_name, table_name) as name from _timescaledb_catalog.hypertable
    where compression_state <> 2 order by 1`;
  return rows.map(({ name }) => name);
}

export async function hasTimescale(sql: Sql): Promise<boolean> {
  const [{ isThere }] = await sql<[{ isThere: boolean }]>`
    select to_regclass('_timescaledb_catalog.hypertable') is not null as "isThere"`;
  return isThere;
}

/** What a manifest says of a database besides its rows. */
export type Surroundings = Pick<
  Manifest,
  | 'versions'
  | 'migration'
  | 'materializedViews'
  | 'hypertables'
  | 'jobs'
  | 'roles'
  | 'tablespaces'
  | 'locale'
  | 'settings'
>;

/** Reads it in the snapshot of the dump. */
export async function readSurroundings(
  sql: Sql,
  { pgDump, tool }: { readonly pgDump: string; readonly tool: string },
): Promise<Surroundings> {
  const isTimescale = await hasTimescale(sql);
  const [facts] = await sql<
    [{ postgresql: string; timescaledb: string | null; hasLedger: boolean }]
  >`
    select current_setting('server_version') as postgresql,
      (select extversion from pg_extension where extname = 'timescaledb') as timescaledb,
      to_regclass('cryptosense_db.migrations') is not null as "hasLedger"`;
  const { postgresql, timescaledb, hasLedger } = facts;
  return {
    versions: { postgresql, timescaledb, pgDump, tool },
    migration: hasLedger ? await readNewestMigration(sql) : null,
    materializedViews: await readMaterializedViews(sql),
    hypertables: isTimescale ? await readHypertables(sql) : [],
    jobs: isTimescale ? await readJobs(sql) : [],
    roles: await readRoles(sql),
    tablespaces: await readTablespaces(sql),
    locale: await readLocale(sql),
    settings: await readSettings(sql),
  };
}

/** Of a database with a ledger. */
export async function readNewestMigration(sql: Sql): Promise<string | null> {
  const [row] = await sql<{ version: string | null }[]>`
    select max(version) as version from cryptosense_db.migrations`;
  return row?.version ?? null;
}

/** pg_restore fills them from the restored tables: one that was stale comes back with other rows. */
async function readMaterializedViews(sql: Sql): Promise<Manifest['materializedViews']> {
  const rows = await sql<Manifest['materializedViews']>`
    select format('%I.%I', n.nspname, c.relname) as name, c.relispopulated as "isPopulated"
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'm' and not exists (
      select from pg_depend d
      where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
    )
    order by 1`;
  return [...rows];
}

async function readHypertables(sql: Sql): Promise<Manifest['hypertables']> {
  const rows = await sql<{ name: string; chunks: number; compressed: number }[]>`
    select format('%I.%I', h.schema_name, h.table_name) as name, count(c.id)::int as chunks,
      count(c.id) filter (where c.compressed_chunk_id is not null)::int as compressed
    from _timescaledb_catalog.hypertable h
    left join _timescaledb_catalog.chunk c on c.hypertable_id = h.id
    where h.compression_state <> 2
    group by 1 order by 1`;
  return [...rows];
}

/** Jobs of the server itself have numbers below 1000. */
export async function readJobs(sql: Sql): Promise<Manifest['jobs']> {
  const rows = await sql<Manifest['jobs']>`
    select job_id as id, format('%I.%I', proc_schema, proc_name) as procedure,
      case when hypertable_name is not null then format('%I.%I', hypertable_schema, hypertable_name) end as hypertable,
      scheduled as "isScheduled", config::text as config
    from timescaledb_information.jobs where job_id >= 1000 order by job_id`;
  return [...rows];
}

/**
 * Roles that own something, are granted something, or are named by a policy, in the database or of it. pg_shdepend does
 * not list the role that initdb has made.
 */
async function readRoles(sql: Sql): Promise<Manifest['roles']> {
  const isTimescale = await hasTimescale(sql);
  const jobOwners = isTimescale
    ? await sql<{ name: string }[]>`
    select distinct pg_get_userbyid(owner::text::regrole) as name from timescaledb_information.jobs`
    : [];
  const rows = await sql<{ name: string }[]>`
    select distinct r.rolname as name
    from pg_shdepend d join pg_roles r on r.oid = d.refobjid
    where d.refclassid = 'pg_authid'::regclass and (
      d.dbid = (select oid from pg_database where datname = current_database())
      or (d.classid = 'pg_database'::regclass and d.objid = (select oid from pg_database where datname = current_database()))
    )
    union select pg_get_userbyid(datdba) from pg_database where datname = current_database()
    union select rolname from pg_roles where oid = 10 and ${await isNamedAnywhere(sql, 10)}
    union select r.rolname from pg_db_role_setting s join pg_roles r on r.oid = s.setrole
      where s.setdatabase = (select oid from pg_database where datname = current_database())`;
  return [...new Set([...rows, ...jobOwners].map(({ name }) => name))].sort(compareText);
}

/** Whether the role owns something that a dump has, or is granted something. Members of extensions are left out. */
async function isNamedAnywhere(sql: Sql, role: number): Promise<boolean> {
  const [{ isNamed }] = await sql<[{ isNamed: boolean }]>`
    with objects (class, id, owner, grants) as (
      select 'pg_class'::regclass, oid, relowner, relacl from pg_class where relkind not in ('i', 'I', 't')
      union all select 'pg_class', attrelid, null, attacl from pg_attribute where attacl is not null
      union all select 'pg_namespace', oid, nspowner, nspacl from pg_namespace
      union all select 'pg_proc', oid, proowner, proacl from pg_proc
      union all select 'pg_type', oid, typowner, typacl from pg_type where typrelid = 0 and typcategory <> 'A'
      union all select 'pg_operator', oid, oprowner, null from pg_operator
      union all select 'pg_opclass', oid, opcowner, null from pg_opclass
      union all select 'pg_opfamily', oid, opfowner, null from pg_opfamily
      union all select 'pg_collation', oid, collowner, null from pg_collation
      union all select 'pg_conversion', oid, conowner, null from pg_conversion
      union all select 'pg_language', oid, lanowner, lanacl from pg_language
      union all select 'pg_ts_config', oid, cfgowner, null from pg_ts_config
      union all select 'pg_ts_dict', oid, dictowner, null from pg_ts_dict
      union all select 'pg_statistic_ext', oid, stxowner, null from pg_statistic_ext
      union all select 'pg_event_trigger', oid, evtowner, null from pg_event_trigger
      union all select 'pg_foreign_data_wrapper', oid, fdwowner, fdwacl from pg_foreign_data_wrapper
      union all select 'pg_foreign_server', oid, srvowner, srvacl from pg_foreign_server
      union all select 'pg_user_mappings', umid, umuser, null from pg_user_mappings
      union all select 'pg_publication', oid, pubowner, null from pg_publication
      union all select 'pg_largeobject', oid, lomowner, lomacl from pg_largeobject_metadata
      union all select 'pg_default_acl', oid, defaclrole, defaclacl from pg_default_acl
      union all select 'pg_policy', oid, unnest(polroles), null from pg_policy
    )
    select exists (
      select from objects
      -- Lower numbers are the server's own, but for the schema public.
      where (id >= 16384 or id = 'public'::regnamespace)
        and (
          owner = ${role}::int8::oid
          or exists (select from aclexplode(grants) where ${role}::int8::oid in (grantee, grantor))
        )
        and not exists (
          select from pg_depend d where d.classid = class and d.objid = id and d.deptype = 'e'
        )
    ) as "isNamed"`;
  return isNamed;
}

async function readTablespaces(sql: Sql): Promise<Manifest['tablespaces']> {
  const rows = await sql<{ name: string }[]>`
    select spcname as name from pg_tablespace t
    where spcname not in ('pg_default', 'pg_global')
      and exists (select from pg_class where reltablespace = t.oid)
    order by 1`;
  return rows.map(({ name }) => name);
}

/** The owner, limit, comment, grants and settings of the database, which pg_dump writes with --create only. */
async function readSettings(sql: Sql): Promise<Manifest['settings']> {
  const rows = await sql<{ statement: string }[]>`
    with own as (select * from pg_database where datname = current_database())
    select statement from (
      select 1 as part, format('ALTER DATABASE %%DATABASE%% OWNER TO %I', pg_get_userbyid(datdba)) as statement
      from own
      union all
      select 1, format('ALTER DATABASE %%DATABASE%% CONNECTION LIMIT %s', datconnlimit)
      from own where datconnlimit >= 0
      union all
      select 2, format('COMMENT ON DATABASE %%DATABASE%% IS %L', description)
      from own join pg_shdescription d on d.objoid = own.oid and d.classoid = 'pg_database'::regclass
      union all
      select 3, 'REVOKE ALL ON DATABASE %DATABASE% FROM PUBLIC' from own where datacl is not null
      union all
      select 4, format(
        'GRANT %s ON DATABASE %%DATABASE%% TO %s%s', privilege_type,
        case grantee when 0 then 'PUBLIC' else quote_ident(pg_get_userbyid(grantee)) end,
        case when is_grantable then ' WITH GRANT OPTION' else '' end
      )
      from own, aclexplode(datacl)
      union all
      select 5, format(
        '%s SET %s TO %s',
        case setrole when 0 then 'ALTER DATABASE %DATABASE%'
          else format('ALTER ROLE %I IN DATABASE %%DATABASE%%', pg_get_userbyid(setrole)) end,
        quote_ident(split_part(setting, '=', 1)),
        -- Lists are kept as they are written (PostgreSQL, variable_is_guc_list_quote).
        case when split_part(setting, '=', 1) in (
          'search_path', 'temp_tablespaces', 'session_preload_libraries', 'shared_preload_libraries',
          'local_preload_libraries', 'unix_socket_directories', 'DateStyle'
        ) then coalesce(nullif(substr(setting, strpos(setting, '=') + 1), ''), $$''$$)
        else quote_literal(substr(setting, strpos(setting, '=') + 1)) end
      )
      from own join pg_db_role_setting on setdatabase = own.oid, unnest(setconfig) as setting
      where split_part(setting, '=', 1) <> 'timescaledb.restoring'
    ) as statements order by part, statement`;
  return rows.map(({ statement }) => statement);
}

async function readLocale(sql: Sql): Promise<Manifest['locale']> {
  const [locale] = await sql<[Manifest['locale']]>`
    select pg_encoding_to_char(encoding) as encoding, datcollate as collate, datctype as ctype,
      case datlocprovider when 'i' then daticulocale end as icu
    from pg_database where datname = current_database()`;
  return locale;
}
