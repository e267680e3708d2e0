import { type Sql, withTransaction } from '../database/connection.ts';

/**
 * Schema `public` as the server describes it, without what belongs to an extension. Lists are
 * ordered by name, in bytes; what belongs to a table is ordered by the table's name first.
 */
export interface Catalog {
  readonly relations: readonly Relation[];
  readonly constraints: readonly Constraint[];
  /** Without those that a constraint owns. */
  readonly indexes: readonly Index[];
  readonly triggers: readonly Trigger[];
  readonly views: readonly View[];
  readonly sequences: readonly string[];
  /** Functions, procedures and aggregates. */
  readonly functions: readonly string[];
  /** Enums, domains, ranges and free-standing composite types. */
  readonly types: readonly string[];
  readonly hypertables: readonly Hypertable[];
  readonly jobs: readonly Job[];
  /** Of the whole database. */
  readonly extensions: readonly string[];
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

export interface Index {
  readonly table: string;
  readonly name: string;
  /** The statement that creates it. */
  readonly definition: string;
  readonly isValid: boolean;
}

export interface Trigger {
  readonly table: string;
  readonly name: string;
  /** The statement that creates it. */
  readonly definition: string;
  /** It fires in an ordinary session. */
  readonly isEnabled: boolean;
}

export interface View {
  readonly name: string;
  /** Of a continuous aggregate: the query that it was created from. */
  readonly query: string;
  /** Whether a continuous aggregate leaves out what is not materialized; null for other views. */
  readonly isMaterializedOnly: boolean | null;
}

export interface Hypertable {
  readonly name: string;
  readonly timeColumn: string;
  /** null where time is a number. */
  readonly chunkInterval: string | null;
  /** The columns that compression segments by, with commas; null without compression. */
  readonly segmentBy: string | null;
  /** The columns that compression orders by; null without compression and where TimescaleDB chooses. */
  readonly orderBy: string | null;
  /** How long a compressed chunk may become when later chunks join it; null when none does. */
  readonly compressedInterval: string | null;
}

/** A job of TimescaleDB: one of its policies, or a user-defined action. */
export interface Job {
  /** The hypertable or continuous aggregate; null for a user-defined action. */
  readonly on: string | null;
  readonly procedure: string;
  readonly isPolicy: boolean;
  readonly every: string;
  /** Without TimescaleDB's internal ids. */
  readonly config: Readonly<Record<string, unknown>> | null;
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
      set local timezone = 'UTC';
      set local datestyle = 'ISO';
      set local intervalstyle = 'postgres'`);
    return read();
  });
}

/** Reads everything, in a transaction of its own. Needs TimescaleDB 2.18 or none. */
export async function readCatalog(sql: Sql): Promise<Catalog> {
  return withCatalog(sql, async () => {
    const [relations, constraints, indexes, triggers, views, timescale, names] = await Promise.all([
      readRelations(sql),
      readConstraints(sql),
      readIndexes(sql),
      readTriggers(sql),
      readViews(sql),
      readTimescale(sql),
      readNames(sql),
    ]);
    return { relations, constraints, indexes, triggers, views, ...timescale, ...names };
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

async function readIndexes(sql: Sql): Promise<readonly Index[]> {
  return sql<Index[]>`
    select c.relname as "table", i.relname as name,
      pg_get_indexdef(x.indexrelid, 0, true) as definition, x.indisvalid as "isValid"
    from pg_index x
    join pg_class c on c.oid = x.indrelid
    join pg_class i on i.oid = x.indexrelid
    where ${isOwn(sql)}
      and not exists (
        select from pg_constraint where conindid = x.indexrelid and contype in ('p', 'u', 'x')
      )
    order by c.relname collate "C", i.relname collate "C"`;
}

/** TimescaleDB's own triggers on hypertables belong to its extension. */
async function readTriggers(sql: Sql): Promise<readonly Trigger[]> {
  return sql<Trigger[]>`
    select c.relname as "table", t.tgname as name, pg_get_triggerdef(t.oid, true) as definition,
      t.tgenabled in ('O', 'A') as "isEnabled"
    from pg_trigger t join pg_class c on c.oid = t.tgrelid
    where ${isOwn(sql)} and not t.tgisinternal
      and not exists (
        select from pg_depend
        where classid = 'pg_proc'::regclass and objid = t.tgfoid and deptype = 'e'
      )
    order by c.relname collate "C", t.tgname collate "C"`;
}

async function readNames(
  sql: Sql,
): Promise<Pick<Catalog, 'sequences' | 'functions' | 'types' | 'extensions'>> {
  const rows = await sql<{ kind: string; name: string }[]>`
    select kind, name from (
      select 'sequence' as kind, relname as name, oid, 'pg_class'::regclass as class
      from pg_class where relkind = 'S' and relnamespace = 'public'::regnamespace
      union all
      select 'function', proname, oid, 'pg_proc'::regclass
      from pg_proc where pronamespace = 'public'::regnamespace
      union all
      select 'type', typname, t.oid, 'pg_type'::regclass
      from pg_type t left join pg_class c on c.oid = typrelid
      where typnamespace = 'public'::regnamespace and typcategory <> 'A'
        and (typrelid = 0 or relkind = 'c')
      union all
      select 'extension', extname, oid, 'pg_extension'::regclass from pg_extension
    ) as object
    where not exists (
      select from pg_depend where classid = class and objid = object.oid and deptype = 'e'
    )
    order by name collate "C"`;
  const namesOf = (kind: string) => rows.filter((row) => row.kind === kind).map(({ name }) => name);
  return {
    sequences: namesOf('sequence'),
    functions: namesOf('function'),
    types: namesOf('type'),
    extensions: namesOf('extension'),
  };
}

async function readTimescale(sql: Sql): Promise<Pick<Catalog, 'hypertables' | 'jobs'>> {
  if (!(await hasTimescale(sql))) return { hypertables: [], jobs: [] };
  const hypertables = await sql<Hypertable[]>`
    select hypertable_name as name, column_name as "timeColumn",
      time_interval::text as "chunkInterval", segmentby as "segmentBy",
      orderby as "orderBy", compress_interval_length as "compressedInterval"
    from timescaledb_information.dimensions
    left join timescaledb_information.hypertable_columnstore_settings
      on hypertable = format('%I.%I', hypertable_schema, hypertable_name)::regclass
    where hypertable_schema = 'public' and dimension_number = 1
    order by hypertable_name collate "C"`;
  // TimescaleDB numbers its own jobs below 1000.
  const jobs = await sql<Job[]>`
    select coalesce(view_name, j.hypertable_name) as on, proc_name as procedure,
      proc_schema like '\\_timescaledb%' as "isPolicy", schedule_interval::text as every,
      config - 'hypertable_id' - 'mat_hypertable_id' as config
    from timescaledb_information.jobs j
    left join timescaledb_information.continuous_aggregates
      on j.hypertable_name in (view_name, materialization_hypertable_name)
    where job_id >= 1000
    order by coalesce(view_name, j.hypertable_name) collate "C", proc_name collate "C", job_id`;
  return { hypertables, jobs };
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
