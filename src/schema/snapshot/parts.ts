import type { Sql } from '../../database/connection.ts';
import { compareText } from '../../runtime/order.ts';
import { factsOf } from './facts.ts';
import { normalizeExpression } from './normalize.ts';
import { firing } from './own.ts';
import { type Fact, type Part, type PartKind, partKinds } from './snapshot.ts';

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

interface Row {
  /** The oid of its relation. */
  readonly relation: number;
  readonly name: string;
  readonly [fact: string]: Fact | null;
}

/** Each column but the relation and the name is a fact; those in `expressions` are brought into one form. */
function partsOf(kind: PartKind, rows: readonly Row[], expressions: readonly string[] = []): Found {
  return rows.map(({ relation, name, ...given }) => {
    const facts = Object.entries(given).map(([fact, value]) => [
      fact,
      typeof value === 'string' && expressions.includes(fact) ? normalizeExpression(value) : value,
    ]);
    return [relation, { kind, name, facts: factsOf(Object.fromEntries(facts)) }];
  });
}

async function readColumns(sql: Sql, wanted: string): Promise<Found> {
  const rows = await sql<Row[]>`
    select a.attrelid::int8::float8 as relation, quote_ident(a.attname) as name,
      format_type(a.atttypid, a.atttypmod) as type,
      case when a.attcollation <> t.typcollation then a.attcollation::regcollation::text end as collation,
      a.attnotnull as "not null",
      case when a.attgenerated = '' then pg_get_expr(d.adbin, d.adrelid, true) end as default,
      case when a.attgenerated <> '' then pg_get_expr(d.adbin, d.adrelid, true) end as generated,
      a.attgenerated = 'v' as virtual,
      case a.attidentity when 'a' then 'always' when 'd' then 'by default' end as identity,
      case when a.attidentity <> '' then (
        select array_remove(array[
          case when s.seqstart <> 1 then 'start ' || s.seqstart end,
          case when s.seqincrement <> 1 then 'increment ' || s.seqincrement end,
          case when s.seqmin <> 1 then 'least ' || s.seqmin end,
          case when s.seqmax <> case s.seqtypid when 'smallint'::regtype then 32767
            when 'integer'::regtype then 2147483647 else 9223372036854775807 end then 'most ' || s.seqmax end,
          case when s.seqcache <> 1 then 'cache ' || s.seqcache end,
          case when s.seqcycle then 'cycles' end
        ], null)
        from pg_sequence s
        where s.seqrelid = pg_get_serial_sequence(a.attrelid::regclass::text, a.attname)::regclass
      ) end as "identity sequence",
      case when a.attstorage <> t.typstorage then
        case a.attstorage when 'p' then 'plain' when 'e' then 'external' when 'm' then 'main' else 'extended' end
      end as storage,
      case a.attcompression when 'p' then 'pglz' when 'l' then 'lz4' end as compression,
      case when a.attstattarget >= 0 then a.attstattarget::int end as "statistics target",
      (
        select array_agg(o order by o collate "C") from unnest(a.attoptions) as o
        -- Minor releases of 2026 keep a number of their own here.
        where o not like 'pg\\_attver=%'
      ) as options,
      a.attfdwoptions as "server options",
      not a.attislocal as inherited,
      col_description(a.attrelid, a.attnum) as comment
    from pg_attribute a
      join pg_type t on t.oid = a.atttypid
      left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attnum > 0 and not a.attisdropped and ${among(sql, 'a.attrelid', wanted)}
    order by a.attrelid, a.attnum`;
  return partsOf('column', rows, ['default', 'generated']);
}

/** With the options of a key's index, and with how its own triggers fire: ALTER TABLE … DISABLE TRIGGER ALL switches them off. */
async function readConstraints(sql: Sql, wanted: string): Promise<Found> {
  const rows = await sql<Row[]>`
    select k.conrelid::int8::float8 as relation, quote_ident(k.conname) as name,
      case when i.reloptions is null then pg_get_constraintdef(k.oid, true) else regexp_replace(
        pg_get_constraintdef(k.oid, true), '( DEFERRABLE)?( INITIALLY DEFERRED)?$', (
          select format(' WITH (%s)', string_agg(format('%s=%L', option_name, option_value), ', '
            order by option_name collate "C")) || '\\1\\2'
          from pg_options_to_table(i.reloptions)
        )
      ) end as definition,
      not k.conislocal as inherited,
      (
        select array_agg(line order by line collate "C") from (
          select format('%s on %s: %s', concat_ws(' or ',
              case when tgtype & 4 <> 0 then 'insert' end, case when tgtype & 8 <> 0 then 'delete' end,
              case when tgtype & 16 <> 0 then 'update' end),
            tgrelid::regclass, ${firing(sql, 'tgenabled')}) as line
          from pg_trigger
          where tgconstraint = k.oid and tgrelid in (k.conrelid, k.confrelid) and tgenabled <> 'O'
        ) as lines
      ) as firing,
      obj_description(k.oid, 'pg_constraint') as comment
    from pg_constraint k
      -- An EXCLUDE has these options in its definition.
      left join pg_class i on i.oid = k.conindid and k.contype in ('p', 'u')
    where k.contype in ('p', 'u', 'x', 'c', 'f') and ${among(sql, 'k.conrelid', wanted)}`;
  return partsOf('constraint', rows, ['definition']);
}

/** Without those that a constraint owns, unless there is more to say of them. */
async function readIndexes(sql: Sql, wanted: string): Promise<Found> {
  const rows = await sql<Row[]>`
    select * from (
      select x.indrelid::int8::float8 as relation, quote_ident(i.relname) as name,
        case when k.oid is null then pg_get_indexdef(x.indexrelid, 0, true) end as definition,
        not x.indisvalid as invalid, x.indisclustered as clustered,
        obj_description(x.indexrelid, 'pg_class') as comment
      from pg_index x join pg_class i on i.oid = x.indexrelid
        left join pg_constraint k on k.conindid = x.indexrelid and k.contype in ('p', 'u', 'x')
      where ${among(sql, 'x.indrelid', wanted)}
    ) as found
    where definition is not null or invalid or clustered or comment is not null`;
  return partsOf('index', rows, ['definition']);
}

/** TimescaleDB's own triggers on hypertables call functions of its extension. */
async function readTriggers(sql: Sql, wanted: string): Promise<Found> {
  const rows = await sql<Row[]>`
    select t.tgrelid::int8::float8 as relation, quote_ident(t.tgname) as name,
      pg_get_triggerdef(t.oid, true) as definition, ${firing(sql, 't.tgenabled')} as firing,
      t.tgparentid <> 0 as inherited,
      obj_description(t.oid, 'pg_trigger') as comment
    from pg_trigger t
    where not t.tgisinternal and ${among(sql, 't.tgrelid', wanted)}
      and not exists (
        select from pg_depend e
        where e.classid = 'pg_proc'::regclass and e.objid = t.tgfoid and e.deptype = 'e'
          and e.refobjid = (select oid from pg_extension where extname = 'timescaledb')
      )`;
  return partsOf('trigger', rows, ['definition']);
}

/** Without the rule that makes a view one. */
async function readRules(sql: Sql, wanted: string): Promise<Found> {
  const rows = await sql<Row[]>`
    select r.ev_class::int8::float8 as relation, quote_ident(r.rulename) as name,
      pg_get_ruledef(r.oid, true) as definition, ${firing(sql, 'r.ev_enabled')} as firing,
      obj_description(r.oid, 'pg_rewrite') as comment
    from pg_rewrite r
    where r.rulename <> '_RETURN' and ${among(sql, 'r.ev_class', wanted)}`;
  return partsOf('rule', rows);
}

async function readPolicies(sql: Sql, wanted: string): Promise<Found> {
  const rows = await sql<Row[]>`
    select p.polrelid::int8::float8 as relation, quote_ident(p.polname) as name,
      case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete'
        else 'all' end as command,
      not p.polpermissive as restrictive,
      (select array_agg(role order by role collate "C") from (
        select case r when 0 then 'public' else r::regrole::text end as role from unnest(p.polroles) as r
      ) as roles) as roles,
      pg_get_expr(p.polqual, p.polrelid, true) as "using",
      pg_get_expr(p.polwithcheck, p.polrelid, true) as "check",
      obj_description(p.oid, 'pg_policy') as comment
    from pg_policy p where ${among(sql, 'p.polrelid', wanted)}`;
  return partsOf('policy', rows, ['using', 'check']);
}

/** Made by CREATE STATISTICS. */
async function readStatistics(sql: Sql, wanted: string): Promise<Found> {
  const rows = await sql<Row[]>`
    select s.stxrelid::int8::float8 as relation, quote_ident(s.stxname) as name,
      pg_get_statisticsobjdef(s.oid) as definition, obj_description(s.oid, 'pg_statistic_ext') as comment
    from pg_statistic_ext s where ${among(sql, 's.stxrelid', wanted)}`;
  return partsOf('statistics', rows);
}
