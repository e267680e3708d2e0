import { type Sql, withTransaction } from '../database/connection.ts';

/** Schema `public` as the server describes it, without what belongs to an extension. Ordered by name, in bytes. */
export interface Catalog {
  readonly relations: readonly Relation[];
  /** By the name of the table, then their own. */
  readonly constraints: readonly Constraint[];
  readonly views: readonly View[];
}

export interface Relation {
  readonly name: string;
  readonly kind: RelationKind;
  readonly comment: string | null;
  /** Storage parameters that were set, such as `fillfactor=85`, in the server's order. */
  readonly storage: readonly string[];
  /** In the relation's order. */
  readonly columns: readonly Column[];
}

/** A continuous aggregate is a view. */
export type RelationKind =
  | 'table'
  | 'partitioned table'
  | 'view'
  | 'materialized view'
  | 'foreign table';

export interface Column {
  readonly name: string;
  /** As `format_type` writes it: `character varying(20)`. */
  readonly type: string;
  /** What its values are made of, below domains and arrays. */
  readonly valueType: ValueType;
  readonly isNullable: boolean;
  readonly default: string | null;
  /** The column's type has a default, as a domain can. */
  readonly hasTypeDefault: boolean;
  /** The expression of a stored generated column. */
  readonly generated: string | null;
  readonly identity: 'always' | 'by default' | null;
  /** The collation treats two different texts as different; true for a type without one. */
  readonly isDeterministic: boolean;
  readonly comment: string | null;
}

/** A type that is neither a domain nor an array, as pg_type has it: `varchar`. */
export interface ValueType {
  readonly schema: string;
  readonly name: string;
  /** How many arrays lie around it: 1 for `text[]`, and for a domain over `text[]`. */
  readonly arrayDepth: number;
  /** The words of an enum, in its order; null for another type. */
  readonly words: readonly string[] | null;
}

export interface Constraint {
  readonly table: string;
  readonly name: string;
  readonly kind: 'primary key' | 'unique' | 'exclusion' | 'check' | 'foreign key';
  /** What follows `CONSTRAINT name`. */
  readonly definition: string;
  /** The expression of a CHECK; null for other kinds. */
  readonly condition: string | null;
  /** false: declared NOT VALID, and rows that were there before may break it. */
  readonly isValidated: boolean;
  /** false: declared NO INHERIT. */
  readonly isInherited: boolean;
}

export interface View {
  readonly name: string;
  /** Of a continuous aggregate: the query that it was created from. */
  readonly query: string;
  /** Whether a continuous aggregate leaves out what is not materialized; null for other views. */
  readonly isMaterializedOnly: boolean | null;
}

/**
 * Runs `read` in a read-only transaction that sees one state of the database, under settings that
 * make the server write the same texts for every role: names outside pg_catalog with their schema,
 * quoted only where they have to be. `sql` is one connection, outside a transaction.
 */
export async function withCatalog<T>(sql: Sql, read: () => Promise<T>): Promise<T> {
  return withTransaction(sql, async () => {
    await sql.unsafe(`
      set transaction isolation level repeatable read, read only;
      set local search_path = '';
      set local quote_all_identifiers = off;
      set local standard_conforming_strings = on;
      set local timezone = 'UTC';
      set local datestyle = 'ISO';
      set local intervalstyle = 'postgres'`);
    return read();
  });
}

/**
 * Tables, views and foreign tables with their columns. Partitions and chunks are left out: they
 * follow their parent. Call it, and the other readers of a part, within `withCatalog`.
 */
export async function readRelations(sql: Sql): Promise<readonly Relation[]> {
  const isTimescale = await hasTimescale(sql);
  const rows = await sql<ColumnRow[]>`
    with recursive layer as (
      select oid as root, oid, 0 as depth, false as "isNotNull" from pg_type
      where oid in (
        select atttypid from pg_attribute join pg_class c on c.oid = attrelid where ${isOwn(sql)}
      )
      union all
      select l.root,
        case typtype when 'd' then typbasetype else typelem end,
        case typtype when 'd' then l.depth else l.depth + 1 end,
        l."isNotNull" or l.depth = 0 and typnotnull
      from layer l join pg_type on pg_type.oid = l.oid
      where typtype = 'd' or typinput = 'array_in'::regproc
    ), "valueType" as (
      select distinct on (l.root) l.root, l."isNotNull", json_build_object(
        'schema', nspname, 'name', typname, 'arrayDepth', l.depth,
        'words', case typtype when 'e' then (
          select coalesce(json_agg(enumlabel order by enumsortorder), '[]') from pg_enum
          where enumtypid = t.oid
        ) end
      ) as described
      from layer l join pg_type t on t.oid = l.oid join pg_namespace n on n.oid = typnamespace
      where not (typtype = 'd' or typinput = 'array_in'::regproc)
    )
    select
      c.relname as relation,
      case c.relkind when 'r' then 'table' when 'p' then 'partitioned table' when 'v' then 'view'
        when 'm' then 'materialized view' else 'foreign table' end as kind,
      obj_description(c.oid, 'pg_class') as "relationComment",
      coalesce(to_json(c.reloptions), '[]') as storage,
      a.attname as name,
      format_type(a.atttypid, a.atttypmod) as type,
      v.described as "valueType",
      -- An outer join gives NULL in a view for a domain that is never NULL in a table.
      not (a.attnotnull or v."isNotNull" and c.relkind not in ('v', 'm')) as "isNullable",
      case when a.attgenerated = '' then pg_get_expr(d.adbin, d.adrelid, true) end as default,
      t.typdefault is not null as "hasTypeDefault",
      case when a.attgenerated <> '' then pg_get_expr(d.adbin, d.adrelid, true) end as generated,
      case a.attidentity when 'a' then 'always' when 'd' then 'by default' end as identity,
      coalesce(l.collisdeterministic, true) as "isDeterministic",
      col_description(c.oid, a.attnum) as comment
    from pg_class c
    left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
    left join pg_type t on t.oid = a.atttypid
    left join "valueType" v on v.root = a.atttypid
    left join pg_collation l on l.oid = a.attcollation
    where c.relkind in ('r', 'p', 'v', 'm', 'f') and ${isOwn(sql)} and not c.relispartition
      ${isTimescale ? isNoChunk(sql) : sql``}
    order by c.relname collate "C", a.attnum`;
  const found = new Map<string, Relation & { readonly columns: Column[] }>();
  for (const { relation: name, kind, relationComment: comment, storage, ...column } of rows) {
    const relation = found.get(name) ?? { name, kind, comment, storage, columns: [] };
    // One row without a column stands for a relation that has none.
    if (isColumn(column)) relation.columns.push(column);
    found.set(name, relation);
  }
  return [...found.values()];
}

type ColumnRow = (Column | { readonly name: null }) & {
  readonly relation: string;
  readonly kind: RelationKind;
  readonly relationComment: string | null;
  readonly storage: readonly string[];
};

function isColumn(row: Column | { readonly name: null }): row is Column {
  return row.name !== null;
}

export async function readConstraints(sql: Sql): Promise<readonly Constraint[]> {
  return sql<Constraint[]>`
    select c.relname as "table", k.conname as name,
      case k.contype when 'p' then 'primary key' when 'u' then 'unique' when 'x' then 'exclusion'
        when 'c' then 'check' else 'foreign key' end as kind,
      pg_get_constraintdef(k.oid, true) as definition,
      case k.contype when 'c' then pg_get_expr(k.conbin, k.conrelid, true) end as condition,
      k.convalidated as "isValidated", not k.connoinherit as "isInherited"
    from pg_constraint k join pg_class c on c.oid = k.conrelid
    where ${isOwn(sql)} and k.contype in ('p', 'u', 'x', 'c', 'f')
    order by c.relname collate "C", k.conname collate "C"`;
}

export async function readViews(sql: Sql): Promise<readonly View[]> {
  const [views, aggregates] = await Promise.all([
    sql<{ name: string; query: string }[]>`
      select relname as name, pg_get_viewdef(oid, true) as query
      from pg_class c where relkind in ('v', 'm') and ${isOwn(sql)}
      order by relname collate "C"`,
    readAggregates(sql),
  ]);
  // The aggregate's own view unites what is materialized with what is not.
  const aggregateOf = new Map(aggregates.map((aggregate) => [aggregate.name, aggregate]));
  return views.map((view) => aggregateOf.get(view.name) ?? { ...view, isMaterializedOnly: null });
}

async function readAggregates(sql: Sql): Promise<readonly View[]> {
  if (!(await hasTimescale(sql))) return [];
  return sql<View[]>`
    select view_name as name, view_definition as query, materialized_only as "isMaterializedOnly"
    from timescaledb_information.continuous_aggregates where view_schema = 'public'`;
}

/** Of pg_class as `c`: a relation of schema public that no extension owns. */
function isOwn(sql: Sql) {
  return sql`c.relnamespace = 'public'::regnamespace and not exists (
    select from pg_depend where classid = 'pg_class'::regclass and objid = c.oid and deptype = 'e'
  )`;
}

/** Of pg_class as `c`. A hypertable may keep its chunks in schema public. */
function isNoChunk(sql: Sql) {
  return sql`and not exists (
    select from _timescaledb_catalog.chunk where schema_name = 'public' and table_name = c.relname
  )`;
}

export async function hasTimescale(sql: Sql): Promise<boolean> {
  const [{ isThere }] = await sql<[{ isThere: boolean }]>`
    select to_regclass('timescaledb_information.continuous_aggregates') is not null as "isThere"`;
  return isThere;
}
