import type { Sql } from '../../database/connection.ts';
import { compareText } from '../../runtime/order.ts';
import { factsOf } from './facts.ts';
import { normalizeExpression } from './normalize.ts';
import { type Part, type PartKind, partKinds } from './snapshot.ts';

/** What belongs to relations, by the relation's oid: columns in their order, then the rest by kind and name. */
export async function readParts(
  sql: Sql,
  { oids }: { readonly oids: readonly number[] },
): Promise<ReadonlyMap<number, readonly Part[]>> {
  const wanted = JSON.stringify(oids);
  const found = new Map<number, Part[]>();
  const add = (relation: number, part: Part) => {
    const known = found.get(relation);
    if (known) known.push(part);
    else found.set(relation, [part]);
  };
  for (const [relation, part] of [
    ...(await readColumns(sql, wanted)),
    ...(await readConstraints(sql, wanted)),
    ...(await readIndexes(sql, wanted)),
    ...(await readTriggers(sql, wanted)),
    ...(await readRules(sql, wanted)),
    ...(await readPolicies(sql, wanted)),
    ...(await readStatistics(sql, wanted)),
  ]) {
    add(relation, part);
  }
  for (const parts of found.values()) parts.sort(compareParts);
  return found;
}

type Found = readonly (readonly [relation: number, part: Part])[];

const rank = new Map<PartKind, number>(partKinds.map((kind, index) => [kind, index]));

/** Columns keep their order. */
function compareParts(a: Part, b: Part): number {
  const byKind = (rank.get(a.kind) ?? 0) - (rank.get(b.kind) ?? 0);
  if (byKind !== 0 || a.kind === 'column') return byKind;
  return compareText(a.name, b.name);
}

/** Of a column `oid`: it is among the wanted ones. */
function among(sql: Sql, oid: string, wanted: string) {
  return sql`${sql(oid)} in (select value::oid from json_array_elements_text(${wanted}::text::json))`;
}

async function readColumns(sql: Sql, wanted: string): Promise<Found> {
  const rows = await sql<
    {
      relation: number;
      name: string;
      type: string;
      collation: string | null;
      isNotNull: boolean;
      value: string | null;
      generated: string | null;
      identity: string | null;
      storage: string | null;
      compression: string | null;
      target: number | null;
      options: readonly string[] | null;
      isInherited: boolean;
      comment: string | null;
    }[]
  >`
    select a.attrelid::int8::float8 as relation, quote_ident(a.attname) as name,
      format_type(a.atttypid, a.atttypmod) as type,
      case when a.attcollation <> t.typcollation then a.attcollation::regcollation::text end as collation,
      a.attnotnull as "isNotNull",
      case when a.attgenerated = '' then pg_get_expr(d.adbin, d.adrelid, true) end as value,
      case when a.attgenerated <> '' then pg_get_expr(d.adbin, d.adrelid, true) end as generated,
      case a.attidentity when 'a' then 'always' when 'd' then 'by default' end as identity,
      case when a.attstorage <> t.typstorage then
        case a.attstorage when 'p' then 'plain' when 'e' then 'external' when 'm' then 'main' else 'extended' end
      end as storage,
      case a.attcompression when 'p' then 'pglz' when 'l' then 'lz4' end as compression,
      case when a.attstattarget >= 0 then a.attstattarget::int end as target,
      (
        select array_agg(o order by o collate "C") from unnest(a.attoptions) as o
        -- Minor releases of 2026 keep a number of their own here.
        where o not like 'pg\\_attver=%'
      ) as options,
      not a.attislocal as "isInherited",
      col_description(a.attrelid, a.attnum) as comment
    from pg_attribute a
      join pg_class c on c.oid = a.attrelid
      join pg_type t on t.oid = a.atttypid
      left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attnum > 0 and not a.attisdropped and ${among(sql, 'a.attrelid', wanted)}
    order by a.attrelid, a.attnum`;
  return rows.map((row) => [
    row.relation,
    {
      kind: 'column',
      name: row.name,
      facts: factsOf({
        type: row.type,
        collation: row.collation,
        'not null': row.isNotNull,
        default: row.value && normalizeExpression(row.value),
        generated: row.generated && normalizeExpression(row.generated),
        identity: row.identity,
        storage: row.storage,
        compression: row.compression,
        'statistics target': row.target,
        options: row.options,
        inherited: row.isInherited,
        comment: row.comment,
      }),
    },
  ]);
}

async function readConstraints(sql: Sql, wanted: string): Promise<Found> {
  const rows = await sql<
    {
      relation: number;
      name: string;
      definition: string;
      isInherited: boolean;
      comment: string | null;
    }[]
  >`
    select k.conrelid::int8::float8 as relation, quote_ident(k.conname) as name,
      pg_get_constraintdef(k.oid, true) as definition, not k.conislocal as "isInherited",
      obj_description(k.oid, 'pg_constraint') as comment
    from pg_constraint k
    where k.contype in ('p', 'u', 'x', 'c', 'f') and ${among(sql, 'k.conrelid', wanted)}`;
  return rows.map(({ relation, name, definition, isInherited, comment }) => [
    relation,
    {
      kind: 'constraint',
      name,
      facts: factsOf({
        definition: normalizeExpression(definition),
        inherited: isInherited,
        comment,
      }),
    },
  ]);
}

/** Without those that a constraint owns, unless they are invalid or clustered. */
async function readIndexes(sql: Sql, wanted: string): Promise<Found> {
  const rows = await sql<
    {
      relation: number;
      name: string;
      definition: string | null;
      isInvalid: boolean;
      isClustered: boolean;
      comment: string | null;
    }[]
  >`
    select * from (
      select x.indrelid::int8::float8 as relation, quote_ident(i.relname) as name,
        case when k.oid is null then pg_get_indexdef(x.indexrelid, 0, true) end as definition,
        not x.indisvalid as "isInvalid", x.indisclustered as "isClustered",
        obj_description(x.indexrelid, 'pg_class') as comment
      from pg_index x join pg_class i on i.oid = x.indexrelid
        left join pg_constraint k on k.conindid = x.indexrelid and k.contype in ('p', 'u', 'x')
      where ${among(sql, 'x.indrelid', wanted)}
    ) as found
    where definition is not null or "isInvalid" or "isClustered" or comment is not null`;
  return rows.map(({ relation, name, definition, isInvalid, isClustered, comment }) => [
    relation,
    {
      kind: 'index',
      name,
      facts: factsOf({
        definition: definition && normalizeExpression(definition),
        invalid: isInvalid,
        clustered: isClustered,
        comment,
      }),
    },
  ]);
}

/** TimescaleDB's own triggers on hypertables call functions of its extension. */
async function readTriggers(sql: Sql, wanted: string): Promise<Found> {
  const rows = await sql<
    {
      relation: number;
      name: string;
      definition: string;
      firing: string | null;
      comment: string | null;
    }[]
  >`
    select t.tgrelid::int8::float8 as relation, quote_ident(t.tgname) as name,
      pg_get_triggerdef(t.oid, true) as definition,
      case t.tgenabled when 'D' then 'disabled' when 'R' then 'on replicas' when 'A' then 'always' end as firing,
      obj_description(t.oid, 'pg_trigger') as comment
    from pg_trigger t
    where not t.tgisinternal and ${among(sql, 't.tgrelid', wanted)}
      and not exists (
        select from pg_depend e
        where e.classid = 'pg_proc'::regclass and e.objid = t.tgfoid and e.deptype = 'e'
          and e.refobjid = (select oid from pg_extension where extname = 'timescaledb')
      )`;
  return rows.map(({ relation, name, definition, firing, comment }) => [
    relation,
    {
      kind: 'trigger',
      name,
      facts: factsOf({ definition: normalizeExpression(definition), firing, comment }),
    },
  ]);
}

/** Without the rule that makes a view one. */
async function readRules(sql: Sql, wanted: string): Promise<Found> {
  const rows = await sql<
    {
      relation: number;
      name: string;
      definition: string;
      firing: string | null;
      comment: string | null;
    }[]
  >`
    select r.ev_class::int8::float8 as relation, quote_ident(r.rulename) as name,
      pg_get_ruledef(r.oid, true) as definition,
      case r.ev_enabled when 'D' then 'disabled' when 'R' then 'on replicas' when 'A' then 'always' end as firing,
      obj_description(r.oid, 'pg_rewrite') as comment
    from pg_rewrite r
    where r.rulename <> '_RETURN' and ${among(sql, 'r.ev_class', wanted)}`;
  return rows.map(({ relation, name, definition, firing, comment }) => [
    relation,
    { kind: 'rule', name, facts: factsOf({ definition, firing, comment }) },
  ]);
}

async function readPolicies(sql: Sql, wanted: string): Promise<Found> {
  const rows = await sql<
    {
      relation: number;
      name: string;
      command: string;
      isRestrictive: boolean;
      roles: readonly string[];
      using: string | null;
      check: string | null;
      comment: string | null;
    }[]
  >`
    select p.polrelid::int8::float8 as relation, quote_ident(p.polname) as name,
      case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete'
        else 'all' end as command,
      not p.polpermissive as "isRestrictive",
      (select array_agg(role order by role collate "C") from (
        select case r when 0 then 'public' else r::regrole::text end as role from unnest(p.polroles) as r
      ) as roles) as roles,
      pg_get_expr(p.polqual, p.polrelid, true) as "using",
      pg_get_expr(p.polwithcheck, p.polrelid, true) as "check",
      obj_description(p.oid, 'pg_policy') as comment
    from pg_policy p where ${among(sql, 'p.polrelid', wanted)}`;
  return rows.map((row) => [
    row.relation,
    {
      kind: 'policy',
      name: row.name,
      facts: factsOf({
        command: row.command,
        restrictive: row.isRestrictive,
        roles: row.roles,
        using: row.using && normalizeExpression(row.using),
        check: row.check && normalizeExpression(row.check),
        comment: row.comment,
      }),
    },
  ]);
}

/** Made by CREATE STATISTICS. */
async function readStatistics(sql: Sql, wanted: string): Promise<Found> {
  const rows = await sql<
    { relation: number; name: string; definition: string; comment: string | null }[]
  >`
    select s.stxrelid::int8::float8 as relation, quote_ident(s.stxname) as name,
      pg_get_statisticsobjdef(s.oid) as definition, obj_description(s.oid, 'pg_statistic_ext') as comment
    from pg_statistic_ext s where ${among(sql, 's.stxrelid', wanted)}`;
  return rows.map(({ relation, name, definition, comment }) => [
    relation,
    { kind: 'statistics', name, facts: factsOf({ definition, comment }) },
  ]);
}
