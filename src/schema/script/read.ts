import type { Sql } from '../../database/connection.ts';
import type { GrammarOptions } from '../../migrations/scripts.ts';
import { loadGrammar } from '../../sql/parse.ts';
import { hasTimescale, withCatalog } from '../catalog.ts';
import { isNoMember, isOwnSchema } from '../snapshot/own.ts';
import { readWithin } from '../snapshot/read.ts';
import type { Rights } from '../snapshot/snapshot.ts';
import type { Attachment, Dependency, ScriptSource } from './source.ts';

/** Reads a snapshot and what a script needs besides, in one transaction. `sql` is one connection, outside a transaction. */
export async function readScriptSource(
  sql: Sql,
  { beforeGrammar, ...rights }: Rights & GrammarOptions,
): Promise<ScriptSource> {
  await beforeGrammar?.();
  const { parse } = await loadGrammar();
  return withCatalog(sql, async () => ({
    snapshot: await readWithin(sql, { ...rights, parse }),
    routines: await readRoutines(sql),
    dependencies: await readDependencies(sql),
    attachments: await readAttachments(sql),
    others: await readOthers(sql),
  }));
}

async function readRoutines(sql: Sql): Promise<ReadonlyMap<string, string>> {
  const rows = await sql<{ name: string; definition: string }[]>`
    select format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) as name,
      pg_get_functiondef(p.oid) as definition
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where ${isOwnSchema(sql)} and p.prokind <> 'a' and ${isNoMember(sql, { catalog: 'pg_proc', oid: 'p.oid' })}`;
  return new Map(rows.map(({ name, definition }) => [name, definition]));
}

/**
 * Between objects of a snapshot, and of the defaults, CHECK constraints, indexes and statistics of tables. What follows
 * all tables in a script, such as foreign keys and triggers, has none.
 */
async function readDependencies(sql: Sql): Promise<readonly Dependency[]> {
  // Queries of a continuous aggregate stand in views of TimescaleDB's own.
  const aggregates = (await hasTimescale(sql))
    ? sql`
      select format('%I.%I', v.nspname, v.relname)::regclass::oid, 'view', format('%I.%I', user_view_schema, user_view_name)
      from _timescaledb_catalog.continuous_agg,
        lateral (values (direct_view_schema, direct_view_name), (partial_view_schema, partial_view_name))
          as v (nspname, relname)
      where to_regclass(format('%I.%I', v.nspname, v.relname)) is not null`
    : sql`select 0::oid, '', '' where false`;
  return sql<Dependency[]>`
    with relation (oid, kind, name) as (
      select c.oid, case when c.relkind = 'S' then 'sequence' when c.relkind in ('v', 'm') then 'view'
        when c.relkind = 'c' then 'type' else 'table' end, format('%I.%I', n.nspname, c.relname)
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where c.relkind in ('r', 'p', 'f', 'v', 'm', 'S', 'c') and ${isOwnSchema(sql)}
      union all ${aggregates}
    ),
    type (oid, kind, name) as (
      select t.oid, coalesce(r.kind, 'type'), coalesce(r.name, format('%I.%I', n.nspname, t.typname))
      from pg_type t join pg_namespace n on n.oid = t.typnamespace left join relation r on r.oid = t.typrelid
      where ${isOwnSchema(sql)}
        and not exists (select from pg_type e where e.typarray = t.oid)
        and not exists (select from pg_range g where g.rngmultitypid = t.oid)
    ),
    thing (class, oid, kind, name, part) as (
      select 'pg_class'::regclass, oid, kind, name, null from relation
      union all select 'pg_type'::regclass, oid, kind, name, null from type
      union all
      select 'pg_type'::regclass, e.typarray, type.kind, type.name, null
      from type join pg_type e on e.oid = type.oid where e.typarray <> 0
      union all
      select 'pg_type'::regclass, m.oid, type.kind, type.name, null
      from type join pg_range g on g.rngtypid = type.oid
        join pg_type t on t.oid = g.rngmultitypid join pg_type m on m.oid in (t.oid, t.typarray)
      union all
      select 'pg_proc'::regclass, p.oid, 'function',
        format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)), null
      from pg_proc p join pg_namespace n on n.oid = p.pronamespace where ${isOwnSchema(sql)}
        and not exists (
          select from pg_depend where classid = 'pg_proc'::regclass and objid = p.oid and deptype = 'i'
        )
      union all
      -- Functions that CREATE TYPE … AS RANGE makes.
      select 'pg_proc'::regclass, d.objid, 'type', type.name, null
      from type join pg_depend d on d.refclassid = 'pg_type'::regclass and d.refobjid = type.oid
      where d.classid = 'pg_proc'::regclass and d.deptype = 'i'
      union all
      select 'pg_attrdef'::regclass, f.oid, kind, name,
        case when a.attgenerated = '' then format('default %I', attname) end
      from pg_attrdef f join relation r on r.oid = f.adrelid
        join pg_attribute a on a.attrelid = f.adrelid and a.attnum = f.adnum
      union all
      select 'pg_constraint'::regclass, k.oid, kind, name, case when contype = 'c' then format('constraint %I', conname) end
      from pg_constraint k join relation r on r.oid = k.conrelid where contype in ('c', 'p', 'u', 'x')
      union all
      select 'pg_constraint'::regclass, k.oid, 'type', name, null
      from pg_constraint k join type on type.oid = k.contypid
      union all
      select 'pg_rewrite'::regclass, w.oid, kind, name, null
      from pg_rewrite w join relation r on r.oid = w.ev_class where rulename = '_RETURN'
      union all
      select 'pg_class'::regclass, i.oid, kind, name, case when k.oid is null then format('index %I', i.relname) end
      from pg_index x join pg_class i on i.oid = x.indexrelid join relation r on r.oid = x.indrelid
        left join pg_constraint k on k.conindid = x.indexrelid and k.contype in ('p', 'u', 'x')
      union all
      select 'pg_statistic_ext'::regclass, s.oid, kind, name, format('statistics %I', stxname)
      from pg_statistic_ext s join relation r on r.oid = s.stxrelid
    )
    select distinct a.kind || ' ' || a.name as object, a.part, b.kind || ' ' || b.name as on
    from pg_depend d
      join thing a on (a.class, a.oid) = (d.classid, d.objid)
      join thing b on (b.class, b.oid) = (d.refclassid, d.refobjid)
    -- A sequence is made before the column that owns it.
    where not (a.kind = 'sequence' and d.deptype in ('a', 'i')) and (a.kind, a.name) <> (b.kind, b.name)`;
}

async function readAttachments(sql: Sql): Promise<readonly Attachment[]> {
  return sql<Attachment[]>`
    select inhrelid::regclass::text as index, inhparent::regclass::text as to
    from pg_inherits h join pg_class c on c.oid = h.inhrelid join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('i', 'I') and ${isOwnSchema(sql)}
    order by inhparent::regclass::text collate "C", inhrelid::regclass::text collate "C"`;
}

/** Objects that a snapshot does not have, as the server names them. */
async function readOthers(sql: Sql): Promise<readonly string[]> {
  const rows = await sql<{ name: string }[]>`
    select * from (
      select format('%s %s', i.type, i.identity) as name
      from (
        select 'pg_am'::regclass as class, oid from pg_am
        union all select 'pg_cast'::regclass, oid from pg_cast
        union all select 'pg_collation'::regclass, oid from pg_collation
        union all select 'pg_conversion'::regclass, oid from pg_conversion
        union all select 'pg_foreign_data_wrapper'::regclass, oid from pg_foreign_data_wrapper
        union all select 'pg_foreign_server'::regclass, oid from pg_foreign_server
        union all select 'pg_language'::regclass, oid from pg_language
        union all select 'pg_opclass'::regclass, oid from pg_opclass
        union all select 'pg_operator'::regclass, oid from pg_operator
        union all select 'pg_opfamily'::regclass, oid from pg_opfamily
        union all select 'pg_subscription'::regclass, oid from pg_subscription
          where subdbid = (select oid from pg_database where datname = current_database())
        union all select 'pg_transform'::regclass, oid from pg_transform
        union all select 'pg_ts_config'::regclass, oid from pg_ts_config
        union all select 'pg_ts_dict'::regclass, oid from pg_ts_dict
        union all select 'pg_ts_parser'::regclass, oid from pg_ts_parser
        union all select 'pg_ts_template'::regclass, oid from pg_ts_template
        union all select 'pg_user_mapping'::regclass, umid from pg_user_mappings
      ) as o, pg_identify_object(o.class, o.oid, 0) as i
      -- Those below are PostgreSQL's own.
      where o.oid >= 16384 and coalesce(i.schema, '') not like '\\_timescaledb\\_%'
        and coalesce(i.schema, '') not in ('timescaledb_experimental', 'timescaledb_information', 'cryptosense_db')
        and not exists (
          select from pg_depend d where (d.classid, d.objid) = (o.class, o.oid) and d.deptype in ('e', 'i')
        )
      union all
      select format('tablespace %I of %I.%I', spcname, n.nspname, c.relname)
      from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_tablespace t on t.oid = c.reltablespace
      where ${isOwnSchema(sql)} and c.relkind in ('r', 'p', 'm', 'i', 'I')
      union all
      select format('access method %I of table %I.%I', amname, n.nspname, c.relname)
      from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_am a on a.oid = c.relam
      where ${isOwnSchema(sql)} and c.relkind in ('r', 'p', 'm') and amname <> 'heap'
      union all
      select format('type %s of table %I.%I', c.reloftype::regtype, n.nspname, c.relname)
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where ${isOwnSchema(sql)} and c.reloftype <> 0
    ) as others
    order by name collate "C"`;
  return rows.map(({ name }) => name);
}
