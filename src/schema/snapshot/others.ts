import type { Sql } from '../../database/connection.ts';
import { factsOf } from './facts.ts';
import { normalizeExpression, normalizeGrants } from './normalize.ts';
import { firing, isNoMember, isOwnSchema } from './own.ts';
import { grantText, revokedOf } from './relations.ts';
import type { Fact, ObjectKind, Rights, SchemaObject } from './snapshot.ts';

interface Row {
  readonly name: string;
  readonly comment: string | null;
  readonly owner?: string | null;
  readonly grants?: readonly string[] | null;
  readonly revoked?: readonly string[] | null;
  readonly [fact: string]: Fact | null | undefined;
}

/** Each column but the name is a fact; comment, owner and grants come last. */
function objectsOf(
  kind: ObjectKind,
  rows: readonly Row[],
  options: Rights,
): readonly SchemaObject[] {
  return rows.map(({ name, comment, owner, grants, revoked, ...facts }) => ({
    kind,
    name,
    facts: factsOf({
      ...facts,
      comment,
      owner: options.owners && owner,
      grants: options.grants ? grants : null,
      'revoked from owner': options.grants ? revoked : null,
    }),
    parts: [],
  }));
}

/** What is granted to others than the owner, sorted: the stored `acl`, or what holds before the first GRANT. */
function grantsOf(
  sql: Sql,
  { acl, kind, owner }: { readonly acl: string; readonly kind: string; readonly owner: string },
) {
  return sql`(
    select array_agg(${grantText(sql)} order by ${grantText(sql)} collate "C")
    from aclexplode(coalesce(${sql(acl)}, acldefault(${kind}::text::"char", ${sql(owner)}))) as a
    where a.grantee <> ${sql(owner)}
  )`;
}

/** The comment of the database and, with grants, its owner, its grants and the default privileges in it. */
export async function readDatabase(sql: Sql, options: Rights): Promise<readonly SchemaObject[]> {
  const rows = await sql<(Row & { readonly 'default privileges': readonly string[] | null })[]>`
    select 'database' as name,
      null::text as comment, pg_get_userbyid(d.datdba) as owner,
      ${grantsOf(sql, { acl: 'd.datacl', kind: 'd', owner: 'd.datdba' })} as grants,
      ${revokedOf(sql, { acl: 'd.datacl', kind: 'd', owner: 'd.datdba' })} as revoked,
      case when ${options.grants} then (
        select array_agg(line order by line collate "C") from (
          select format('%s by %I%s to %s',
            case defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions'
              when 'T' then 'types' else 'schemas' end,
            pg_get_userbyid(defaclrole),
            coalesce(' in ' || nullif(defaclnamespace, 0)::regnamespace::text, ''), ${grantText(sql)}) as line
          from pg_default_acl, aclexplode(defaclacl) as a where a.grantee <> defaclrole
          union all
          -- What PUBLIC has by itself, and was revoked.
          select format('%s by %I not to public: %s', case defaclobjtype when 'f' then 'functions' else 'types' end,
            pg_get_userbyid(defaclrole), case defaclobjtype when 'f' then 'EXECUTE' else 'USAGE' end)
          from pg_default_acl where defaclnamespace = 0 and defaclobjtype in ('f', 'T')
            and not exists (select from aclexplode(defaclacl) as a where a.grantee = 0)
        ) as lines
      ) end as "default privileges"
    from pg_database d where d.datname = current_database()`;
  const normal = rows.map((row) => ({
    ...row,
    'default privileges': normalizeGrants(row['default privileges']),
  }));
  return objectsOf('database', normal, options).filter(
    ({ facts }) => Object.keys(facts).length > 0,
  );
}

export async function readExtensions(sql: Sql, options: Rights): Promise<readonly SchemaObject[]> {
  const rows = await sql<Row[]>`
    select quote_ident(extname) as name, extversion as version, quote_ident(n.nspname) as schema,
      obj_description(e.oid, 'pg_extension') as comment, pg_get_userbyid(extowner) as owner
    from pg_extension e join pg_namespace n on n.oid = e.extnamespace
    where extname <> 'plpgsql'`;
  return objectsOf('extension', rows, options);
}

export async function readSchemas(sql: Sql, options: Rights): Promise<readonly SchemaObject[]> {
  const rows = await sql<Row[]>`
    select quote_ident(nspname) as name, obj_description(n.oid, 'pg_namespace') as comment,
      pg_get_userbyid(nspowner) as owner,
      ${grantsOf(sql, { acl: 'n.nspacl', kind: 'n', owner: 'n.nspowner' })} as grants,
      ${revokedOf(sql, { acl: 'n.nspacl', kind: 'n', owner: 'n.nspowner' })} as revoked
    from pg_namespace n
    where ${isOwnSchema(sql)} and ${isNoMember(sql, { catalog: 'pg_namespace', oid: 'n.oid' })}`;
  return objectsOf('schema', rows, options);
}

/** Enums, domains, ranges and free-standing composite types. */
export async function readTypes(sql: Sql, options: Rights): Promise<readonly SchemaObject[]> {
  const rows = await sql<
    (Row & { readonly default: string | null; readonly checks: readonly string[] | null })[]
  >`
    select format('%I.%I', n.nspname, t.typname) as name,
      case t.typtype when 'e' then 'enum' when 'd' then 'domain' when 'r' then 'range' when 'c' then 'composite'
        else 'base' end as kind,
      (select array_agg(enumlabel::text order by enumsortorder) from pg_enum where enumtypid = t.oid) as labels,
      case when t.typtype = 'd' then format_type(t.typbasetype, t.typtypmod) end as of,
      case when t.typtype = 'd' and t.typcollation <> b.typcollation then t.typcollation::regcollation::text end as collation,
      t.typnotnull as "not null",
      t.typdefault as default,
      (
        select array_agg(format('%I %s', conname, pg_get_constraintdef(k.oid, true)) order by conname collate "C")
        from pg_constraint k where k.contypid = t.oid and k.contype = 'c'
      ) as checks,
      (
        select array_agg(format('%I: %s', conname, obj_description(k.oid, 'pg_constraint')) order by conname collate "C")
        from pg_constraint k where k.contypid = t.oid and obj_description(k.oid, 'pg_constraint') is not null
      ) as "comments of checks",
      format_type(r.rngsubtype, null) as subtype,
      case when not o.opcdefault then format('%I.%I', o.opcnamespace::regnamespace::text, o.opcname) end as "operator class",
      case when r.rngcollation <> s.typcollation then r.rngcollation::regcollation::text end as "range collation",
      nullif(r.rngcanonical::text, '-') as canonical, nullif(r.rngsubdiff::text, '-') as difference,
      (
        select array_agg(format('%I %s%s', attname, format_type(atttypid, atttypmod), case
          when attcollation <> typcollation then ' COLLATE ' || attcollation::regcollation::text
        end) order by attnum)
        from pg_attribute join pg_type on pg_type.oid = atttypid
        where attrelid = t.typrelid and attnum > 0 and not attisdropped
      ) as attributes,
      obj_description(t.oid, 'pg_type') as comment, pg_get_userbyid(t.typowner) as owner,
      ${grantsOf(sql, { acl: 't.typacl', kind: 'T', owner: 't.typowner' })} as grants,
      ${revokedOf(sql, { acl: 't.typacl', kind: 'T', owner: 't.typowner' })} as revoked
    from pg_type t join pg_namespace n on n.oid = t.typnamespace
      left join pg_class c on c.oid = t.typrelid
      left join pg_type b on b.oid = t.typbasetype
      left join pg_range r on r.rngtypid = t.oid
      left join pg_type s on s.oid = r.rngsubtype
      left join pg_opclass o on o.oid = r.rngsubopc
    where ${isOwnSchema(sql)} and ${isNoMember(sql, { catalog: 'pg_type', oid: 't.oid' })}
      and (t.typrelid = 0 or c.relkind = 'c') and t.typtype in ('e', 'd', 'r', 'c', 'b')
      -- Arrays follow their elements, multiranges their ranges.
      and not exists (select from pg_type e where e.typarray = t.oid)`;
  const normal = rows.map((row) => ({
    ...row,
    default: row.default && normalizeExpression(row.default),
    checks: row.checks?.map(normalizeExpression) ?? null,
  }));
  return objectsOf('type', normal, options);
}

/** Without those of identity columns, which belong to their column. */
export async function readSequences(sql: Sql, options: Rights): Promise<readonly SchemaObject[]> {
  const rows = await sql<Row[]>`
    select format('%I.%I', n.nspname, c.relname) as name,
      case when s.seqtypid <> 'bigint'::regtype then format_type(s.seqtypid, null) end as type,
      case when s.seqstart <> 1 then s.seqstart::text end as start,
      case when s.seqincrement <> 1 then s.seqincrement::text end as increment,
      case when s.seqmin <> 1 then s.seqmin::text end as least,
      case when s.seqmax <> case s.seqtypid when 'smallint'::regtype then 32767
        when 'integer'::regtype then 2147483647 else 9223372036854775807 end then s.seqmax::text end as most,
      case when s.seqcache <> 1 then s.seqcache::text end as cache,
      s.seqcycle as cycles,
      (
        select format('%s.%I', refobjid::regclass, attname)
        from pg_depend join pg_attribute on attrelid = refobjid and attnum = refobjsubid
        where classid = 'pg_class'::regclass and objid = c.oid and deptype = 'a'
      ) as "owned by",
      obj_description(c.oid, 'pg_class') as comment, pg_get_userbyid(c.relowner) as owner,
      ${grantsOf(sql, { acl: 'c.relacl', kind: 's', owner: 'c.relowner' })} as grants,
      ${revokedOf(sql, { acl: 'c.relacl', kind: 's', owner: 'c.relowner' })} as revoked
    from pg_sequence s join pg_class c on c.oid = s.seqrelid join pg_namespace n on n.oid = c.relnamespace
    where ${isOwnSchema(sql)} and ${isNoMember(sql, { catalog: 'pg_class', oid: 'c.oid' })}
      and not exists (
        select from pg_depend where classid = 'pg_class'::regclass and objid = c.oid and deptype = 'i'
      )`;
  return objectsOf('sequence', rows, options);
}

/** Functions, procedures and aggregates, with the SHA-256 of what they do. */
export async function readFunctions(sql: Sql, options: Rights): Promise<readonly SchemaObject[]> {
  const rows = await sql<Row[]>`
    select format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) as name,
      case p.prokind when 'p' then 'procedure' when 'a' then 'aggregate' when 'w' then 'window' end as kind,
      case when p.pronargdefaults > 0 then pg_get_function_arguments(p.oid) end as arguments,
      pg_get_function_result(p.oid) as returns, l.lanname as language,
      case p.provolatile when 'i' then 'immutable' when 's' then 'stable' end as volatility,
      p.proisstrict as strict, p.prosecdef as "security definer", p.proleakproof as leakproof,
      case p.proparallel when 's' then 'safe' when 'r' then 'restricted' end as parallel,
      case when p.procost <> case when l.lanname in ('c', 'internal') then 1 else 100 end then p.procost::text end as cost,
      case when p.proretset and p.prorows <> 1000 then p.prorows::text end as rows,
      (select array_agg(c order by c collate "C") from unnest(p.proconfig) as c) as settings,
      case when p.prokind <> 'a' then
        encode(sha256(convert_to(coalesce(pg_get_function_sqlbody(p.oid), p.prosrc), 'UTF8')), 'hex')
      end as body,
      case when p.prokind = 'a' then (
        select array_remove(array[
          'step ' || aggtransfn, 'state ' || format_type(aggtranstype, null),
          'space ' || nullif(aggtransspace, 0),
          'final ' || nullif(aggfinalfn::text, '-'), case when aggfinalextra then 'final extra' end,
          case when aggfinalmodify <> case aggkind when 'n' then 'r' else 'w' end then 'final modify ' || aggfinalmodify::text end,
          'combine ' || nullif(aggcombinefn::text, '-'),
          'serialize ' || nullif(aggserialfn::text, '-'), 'deserialize ' || nullif(aggdeserialfn::text, '-'),
          'moving step ' || nullif(aggmtransfn::text, '-'), 'moving back ' || nullif(aggminvtransfn::text, '-'),
          'moving state ' || nullif(format_type(aggmtranstype, null), '-'),
          'moving space ' || nullif(aggmtransspace, 0),
          'moving final ' || nullif(aggmfinalfn::text, '-'), case when aggmfinalextra then 'moving final extra' end,
          case when aggmtransfn <> 0 and aggmfinalmodify <> case aggkind when 'n' then 'r' else 'w' end
            then 'moving final modify ' || aggmfinalmodify::text end,
          'moving start ' || aggminitval,
          'sort ' || nullif(aggsortop::regoperator::text, '0'), case aggkind when 'h' then 'hypothetical' end,
          'start ' || agginitval
        ], null)
        from pg_aggregate where aggfnoid = p.oid
      ) end as aggregate,
      obj_description(p.oid, 'pg_proc') as comment, pg_get_userbyid(p.proowner) as owner,
      ${grantsOf(sql, { acl: 'p.proacl', kind: 'f', owner: 'p.proowner' })} as grants,
      ${revokedOf(sql, { acl: 'p.proacl', kind: 'f', owner: 'p.proowner' })} as revoked
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_language l on l.oid = p.prolang
    where ${isOwnSchema(sql)} and ${isNoMember(sql, { catalog: 'pg_proc', oid: 'p.oid' })}
      -- CREATE TYPE … AS RANGE makes its own constructors.
      and not exists (
        select from pg_depend where classid = 'pg_proc'::regclass and objid = p.oid and deptype = 'i'
      )`;
  return objectsOf('function', rows, options);
}

export async function readPublications(
  sql: Sql,
  options: Rights,
): Promise<readonly SchemaObject[]> {
  const rows = await sql<Row[]>`
    select quote_ident(pubname) as name, puballtables as "all tables",
      (
        select array_agg(format('%s%s%s', r.prrelid::regclass,
          case when r.prattrs is not null then (
            select format(' (%s)', string_agg(quote_ident(attname), ', ' order by attnum))
            from pg_attribute where attrelid = r.prrelid and attnum = any (r.prattrs)
          ) end,
          ' where ' || pg_get_expr(r.prqual, r.prrelid)) order by r.prrelid::regclass::text collate "C")
        from pg_publication_rel r where r.prpubid = p.oid
      ) as tables,
      (
        select array_agg(pnnspid::regnamespace::text order by pnnspid::regnamespace::text collate "C")
        from pg_publication_namespace where pnpubid = p.oid
      ) as schemas,
      array_remove(array[
        case when pubinsert then 'insert' end, case when pubupdate then 'update' end,
        case when pubdelete then 'delete' end, case when pubtruncate then 'truncate' end
      ], null) as publishes,
      pubviaroot as "via root",
      obj_description(p.oid, 'pg_publication') as comment, pg_get_userbyid(pubowner) as owner
    from pg_publication p`;
  return objectsOf('publication', rows, options);
}

export async function readEventTriggers(
  sql: Sql,
  options: Rights,
): Promise<readonly SchemaObject[]> {
  const rows = await sql<Row[]>`
    select quote_ident(evtname) as name, evtevent as event,
      (select array_agg(tag order by tag collate "C") from unnest(evttags) as tag) as tags,
      evtfoid::regproc::text as function,
      ${firing(sql, 'evtenabled')} as firing,
      obj_description(e.oid, 'pg_event_trigger') as comment, pg_get_userbyid(evtowner) as owner
    from pg_event_trigger e
    where ${isNoMember(sql, { catalog: 'pg_event_trigger', oid: 'e.oid' })}`;
  return objectsOf('event trigger', rows, options);
}
