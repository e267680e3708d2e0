import type { Session, Sql } from '../database/connection.ts';

/** A table, view or continuous aggregate of schema public, as the server describes it. */
export interface Relation {
  readonly name: string;
  readonly isView: boolean;
  readonly comment: string | null;
  /** In the order of their names. */
  readonly columns: readonly Column[];
}

export interface Column {
  readonly name: string;
  /** As in pg_type: `varchar`, `_text` for an array. */
  readonly dataType: string;
  readonly dataTypeSchema: string;
  readonly isNullable: boolean;
  readonly isAutoIncrementing: boolean;
  readonly hasDefaultValue: boolean;
  /** GENERATED ALWAYS, stored or as identity: what is written there is refused. */
  readonly isReadOnly: boolean;
  /** Its collation takes no two texts that differ for equal. */
  readonly isComparedByBytes: boolean;
  readonly comment: string | null;
}

export interface Catalog {
  /** Without what belongs to an extension, and without partitions and chunks. */
  readonly relations: readonly Relation[];
  /** The conditions of CHECK constraints that every row satisfies, by table. */
  readonly checks: readonly { readonly table: string; readonly condition: string }[];
  /** The queries of views, with their columns in order. */
  readonly views: readonly View[];
}

export interface View {
  readonly name: string;
  readonly query: string;
  readonly columns: readonly string[];
}

/**
 * Reads schema public. To be run in a transaction whose search_path is empty, so that the server
 * writes the same names whoever asks.
 */
export async function readCatalog({ sql }: Pick<Session, 'sql'>): Promise<Catalog> {
  const [columns, checks, views, aggregates] = await Promise.all([
    readColumns(sql),
    sql<{ table: string; condition: string }[]>`
      select c.relname as "table", pg_get_expr(k.conbin, k.conrelid) as condition
      from pg_constraint k join pg_class c on c.oid = k.conrelid
      where k.contype = 'c' and k.convalidated and not k.connoinherit and c.relnamespace = 'public'::regnamespace
      order by c.relname collate "C", k.conname collate "C"`,
    sql<View[]>`
      select c.relname as name, pg_get_viewdef(c.oid) as query, array_to_json(array(
        select attname::text from pg_attribute
        where attrelid = c.oid and attnum > 0 and not attisdropped order by attnum
      )) as columns
      from pg_class c
      where c.relkind in ('v', 'm') and c.relnamespace = 'public'::regnamespace`,
    readAggregates(sql),
  ]);
  // A continuous aggregate's own query unites what is materialised with what is not.
  const queryOf = new Map(aggregates.map(({ name, query }) => [name, query]));
  return {
    relations: relationsOf(columns),
    checks,
    views: views.map((view) => ({ ...view, query: queryOf.get(view.name) ?? view.query })),
  };
}

async function readAggregates(sql: Sql): Promise<readonly { name: string; query: string }[]> {
  const [{ isThere }] = await sql<[{ isThere: boolean }]>`
    select to_regclass('timescaledb_information.continuous_aggregates') is not null as "isThere"`;
  if (!isThere) return [];
  return sql<{ name: string; query: string }[]>`
    select view_name as name, view_definition as query
    from timescaledb_information.continuous_aggregates where view_schema = 'public'`;
}

type ColumnRow = Column & {
  readonly table: string;
  readonly isView: boolean;
  readonly tableComment: string | null;
};

async function readColumns(sql: Sql): Promise<readonly ColumnRow[]> {
  return sql<ColumnRow[]>`
    select
      c.relname as "table",
      c.relkind in ('v', 'm') as "isView",
      obj_description(c.oid, 'pg_class') as "tableComment",
      a.attname as name,
      -- A row of a table arrives as text.
      case when t.typtype = 'c' then 'text'
        when e.typtype = 'c' then '_text'
        else t.typname end as "dataType",
      t.typnamespace::regnamespace::text as "dataTypeSchema",
      -- An outer join gives NULL in a view for a domain that is never NULL in a table.
      not (a.attnotnull or t.typnotnull and c.relkind not in ('v', 'm')) as "isNullable",
      a.attidentity <> '' as "isAutoIncrementing",
      a.atthasdef or a.attidentity <> '' or t.typdefault is not null as "hasDefaultValue",
      a.attgenerated <> '' or a.attidentity = 'a' as "isReadOnly",
      coalesce(l.collisdeterministic, true) as "isComparedByBytes",
      col_description(c.oid, a.attnum) as comment
    from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    join pg_type t on t.oid = a.atttypid
    left join pg_type e on e.oid = t.typelem and t.typcategory = 'A'
    left join pg_collation l on l.oid = a.attcollation
    where c.relkind in ('r', 'p', 'v', 'm', 'f') and c.relnamespace = 'public'::regnamespace
      and not c.relispartition
      -- Chunks inherit from their hypertable, and may lie in any schema.
      and not (
        c.relname like '%\\_chunk' and exists (select from pg_inherits where inhrelid = c.oid)
      )
      and not exists (
        select from pg_depend
        where classid = 'pg_class'::regclass and objid = c.oid and deptype = 'e'
      )
    order by c.relname collate "C", a.attname collate "C"`;
}

function relationsOf(rows: readonly ColumnRow[]): readonly Relation[] {
  const found = new Map<string, Relation & { readonly columns: Column[] }>();
  for (const { table, isView, tableComment, ...column } of rows) {
    const relation = found.get(table) ?? {
      name: table,
      isView,
      comment: tableComment,
      columns: [],
    };
    relation.columns.push(column);
    found.set(table, relation);
  }
  return [...found.values()];
}
