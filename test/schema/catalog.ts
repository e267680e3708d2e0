import type { Sql } from 'postgres';

/** Name → definition. */
export type Definitions = Readonly<Record<string, string>>;

/** Type, default and generation expression as `format_type` and `pg_get_expr` give them, `canonical`. */
export interface Column {
  readonly name: string;
  readonly type: string;
  readonly nullable: boolean;
  readonly default: string | null;
  readonly generated: string | null;
}

export interface Table {
  /** In the table's order. */
  readonly columns: readonly Column[];
  readonly primaryKey: Definitions;
  readonly unique: Definitions;
  /** Name → condition. */
  readonly checks: Definitions;
  readonly foreignKeys: Definitions;
  /**
   * Without those that belong to a primary key or a UNIQUE. What `CREATE INDEX` says after the
   * table's name, after `UNIQUE` where it is one; `USING btree` goes without saying.
   */
  readonly indexes: Definitions;
  /** What `CREATE TRIGGER` says, without its own and the table's name. Enabled ones only. */
  readonly triggers: Definitions;
}

/** A view, or a continuous aggregate with the query that it was created from. */
export interface View {
  readonly columns: readonly Pick<Column, 'name' | 'type'>[];
  readonly definition: string;
  /** Null for a plain view. */
  readonly materializedOnly: boolean | null;
}

export interface Hypertable {
  readonly timeColumn: string;
  readonly chunkInterval: string;
  /** The columns that compression segments by; null where compression is not set up. */
  readonly segmentBy: string | null;
}

/** A TimescaleDB job: a policy, or a user-defined action. */
export interface Job {
  /** The hypertable or continuous aggregate; null for a user-defined action. */
  readonly on: string | null;
  readonly procedure: string;
  readonly every: string;
  /** Without TimescaleDB's internal ids. */
  readonly config: Definitions;
}

/** The schema `public`, without what belongs to an extension. */
export interface Catalog {
  readonly tables: Readonly<Record<string, Table>>;
  readonly views: Readonly<Record<string, View>>;
  readonly hypertables: Readonly<Record<string, Hypertable>>;
  /** Ordered by `on`, then `procedure`. */
  readonly policies: readonly Job[];
  readonly userJobs: readonly Job[];
  /** Every table, view, sequence, … → its kind as `pg_class.relkind` has it. */
  readonly relations: Definitions;
  /** Functions, procedures and aggregates, ordered by name. */
  readonly functions: readonly string[];
  /** Enums, domains, ranges and free-standing composite types, ordered by name. */
  readonly types: readonly string[];
  /** `table` or `table.column` → comment. */
  readonly comments: Definitions;
  readonly extensions: readonly string[];
}

/**
 * Reads what the database really has, in a form in which PostgreSQL 15 with TimescaleDB 2.28 and
 * PostgreSQL 17 with TimescaleDB 2.23 (the embedded engine) say the same of the same schema.
 * `public` has to be on the search path.
 */
export async function readCatalog(sql: Sql): Promise<Catalog> {
  const relations = await sql<Relation[]>`
    select relname as name, relkind::text as kind, obj_description(c.oid, 'pg_class') as comment
    from pg_class c
    where relnamespace = 'public'::regnamespace and relkind not in ('i', 'I', 't')
      and not exists (select from pg_depend
                      where classid = 'pg_class'::regclass and objid = c.oid and deptype = 'e')`;
  const columns = await sql<(Column & { relation: string; comment: string | null })[]>`
    select relname as relation, attname as name, format_type(atttypid, atttypmod) as type,
      not attnotnull as nullable, col_description(c.oid, attnum) as comment,
      case when attgenerated = '' then pg_get_expr(adbin, adrelid, true) end as default,
      case when attgenerated <> '' then pg_get_expr(adbin, adrelid, true) end as generated
    from pg_class c
    join pg_attribute a on attrelid = c.oid and attnum > 0 and not attisdropped
    left join pg_attrdef on adrelid = c.oid and adnum = attnum
    where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm')
    order by relname, attnum`;
  const constraints = await sql<Owned[]>`
    select relname as relation, contype::text as kind, conname as name,
      case contype when 'c' then pg_get_expr(conbin, conrelid, true)
        || case when convalidated then '' else ' NOT VALID' end
      else pg_get_constraintdef(o.oid, true) end as definition
    from pg_constraint o join pg_class c on c.oid = conrelid
    where connamespace = 'public'::regnamespace and contype in ('p', 'u', 'x', 'c', 'f')`;
  const indexes = await sql<Owned[]>`
    select c.relname as relation, 'index' as kind, i.relname as name,
      pg_get_indexdef(indexrelid, 0, true)
        || case when indisvalid then '' else ' INVALID' end as definition
    from pg_index
    join pg_class c on c.oid = indrelid
    join pg_class i on i.oid = indexrelid
    where c.relnamespace = 'public'::regnamespace
      and not exists (select from pg_constraint
                      where conindid = indexrelid and contype in ('p', 'u', 'x'))`;
  const triggers = await sql<Owned[]>`
    select relname as relation, 'trigger' as kind, tgname as name,
      pg_get_triggerdef(t.oid, true) as definition
    from pg_trigger t join pg_class c on c.oid = tgrelid
    where relnamespace = 'public'::regnamespace and not tgisinternal and tgenabled = 'O'
      and not exists (select from pg_depend
                      where classid = 'pg_proc'::regclass and objid = tgfoid and deptype = 'e')`;
  const views = await sql<{ name: string; definition: string; materializedOnly: boolean | null }[]>`
    select relname as name, materialized_only as "materializedOnly",
      coalesce(view_definition, pg_get_viewdef(c.oid, true)) as definition
    from pg_class c
    left join timescaledb_information.continuous_aggregates
      on view_schema = 'public' and view_name = relname
    where relnamespace = 'public'::regnamespace and relkind in ('v', 'm')`;
  const hypertables = await sql<(Hypertable & { name: string })[]>`
    select hypertable_name as name, column_name as "timeColumn", segmentby as "segmentBy",
      time_interval::text as "chunkInterval"
    from timescaledb_information.dimensions
    left join timescaledb_information.hypertable_columnstore_settings
      on hypertable = format('%I.%I', hypertable_schema, hypertable_name)::regclass
    where hypertable_schema = 'public'`;
  const jobs = await sql<(Job & { isPolicy: boolean })[]>`
    select coalesce(view_name, j.hypertable_name) as on, proc_name as procedure,
      schedule_interval::text as every, proc_schema like '\\_timescaledb%' as "isPolicy",
      config - 'hypertable_id' - 'mat_hypertable_id' as config
    from timescaledb_information.jobs j
    left join timescaledb_information.continuous_aggregates
      on j.hypertable_name in (view_name, materialization_hypertable_name)
    where job_id >= 1000
    order by coalesce(view_name, j.hypertable_name) collate "C", proc_name collate "C"`;
  const functions = await sql<{ name: string }[]>`
    select proname as name from pg_proc p
    where pronamespace = 'public'::regnamespace
      and not exists (select from pg_depend
                      where classid = 'pg_proc'::regclass and objid = p.oid and deptype = 'e')
    order by proname`;
  const types = await sql<{ name: string }[]>`
    select typname as name from pg_type t left join pg_class c on c.oid = typrelid
    where typnamespace = 'public'::regnamespace and typcategory <> 'A'
      and (typrelid = 0 or relkind = 'c')
      and not exists (select from pg_depend
                      where classid = 'pg_type'::regclass and objid = t.oid and deptype = 'e')
    order by typname`;
  const extensions = await sql<{ name: string }[]>`
    select extname as name from pg_extension order by extname`;

  const columnsOf = (relation: string) =>
    columns
      .filter((column) => column.relation === relation)
      .map(({ name, type, nullable, default: value, generated }) => ({
        name,
        type,
        nullable,
        default: value === null ? null : canonical(value),
        generated: generated === null ? null : canonical(generated).replace(/^\(([^()]*)\)$/, '$1'),
      }));
  const tableNames = relations.filter(({ kind }) => 'rp'.includes(kind)).map(({ name }) => name);
  const withoutTableNames = (definition: string) =>
    definition.replaceAll(new RegExp(`\\b(?:${tableNames.join('|')})\\.`, 'g'), '');
  const names = (rows: readonly { name: string }[]) => rows.map(({ name }) => name);

  return {
    tables: toRecord(
      tableNames.map((name) => [
        name,
        {
          columns: columnsOf(name),
          primaryKey: definitionsOf(constraints, name, 'p'),
          unique: definitionsOf(constraints, name, 'ux'),
          checks: definitionsOf(constraints, name, 'c'),
          foreignKeys: definitionsOf(constraints, name, 'f'),
          indexes: definitionsOf(indexes, name, 'index'),
          triggers: definitionsOf(triggers, name, 'trigger'),
        },
      ]),
    ),
    views: toRecord(
      views.map(({ name, definition, materializedOnly }) => [
        name,
        {
          columns: columnsOf(name).map((column) => ({ name: column.name, type: column.type })),
          definition: canonical(withoutTableNames(definition)),
          materializedOnly,
        },
      ]),
    ),
    hypertables: toRecord(hypertables.map(({ name, ...hypertable }) => [name, hypertable])),
    policies: jobs.filter(({ isPolicy }) => isPolicy).map(({ isPolicy: _, ...job }) => job),
    userJobs: jobs.filter(({ isPolicy }) => !isPolicy).map(({ isPolicy: _, ...job }) => job),
    relations: toRecord(relations.map(({ name, kind }) => [name, kind])),
    functions: names(functions),
    types: names(types),
    comments: toRecord(
      [
        ...relations.map(({ name, comment }) => ({ key: name, comment })),
        ...columns.map(({ relation, name, comment }) => ({ key: `${relation}.${name}`, comment })),
      ].flatMap(({ key, comment }) => (comment === null ? [] : [[key, comment]])),
    ),
    extensions: names(extensions),
  };
}

interface Relation {
  readonly name: string;
  readonly kind: string;
  readonly comment: string | null;
}

interface Owned {
  readonly relation: string;
  readonly kind: string;
  readonly name: string;
  readonly definition: string;
}

function definitionsOf(rows: readonly Owned[], relation: string, kinds: string): Definitions {
  return toRecord(
    rows
      .filter((row) => row.relation === relation && kinds.includes(row.kind))
      .map(({ name, definition }) => [name, canonical(definition)]),
  );
}

function toRecord<Value>(entries: Iterable<readonly [string, Value]>): Record<string, Value> {
  return Object.fromEntries(entries);
}

/**
 * A definition on one line, without what PostgreSQL adds to the words that someone wrote: casts of
 * literals to text, numeric and the like, quotes around `time`, `= ANY (ARRAY[…])` for `IN`, the
 * object's own name and its table's. String literals stay as they are.
 */
function canonical(definition: string): string {
  return definition
    .split(/('(?:[^']|'')*')/)
    .map((part, position) => (position % 2 === 1 ? part : withoutNoise(part)))
    .join('')
    .replaceAll(/= ANY \(ARRAY\[(.*?)\]\)/g, 'IN ($1)')
    .replace(/^CREATE (UNIQUE )?INDEX \S+ ON (?:ONLY )?\S+ (?:USING btree )?/, '$1')
    .replace(/^CREATE TRIGGER \S+ (.*?) ON \S+/, '$1')
    .replace(/;$/, '')
    .trim();
}

function withoutNoise(sql: string): string {
  return sql
    .replaceAll(/::(?:character varying|text|numeric|jsonb|interval)(?:\[\])?/g, '')
    .replaceAll(/"(\w+)"/g, '$1')
    .replaceAll(/\s+/g, ' ');
}
