import type { Sql } from 'postgres';
import type * as Read from '../../src/schema/catalog.ts';
import {
  hasTimescale,
  readConstraints,
  readRelations,
  readViews,
  withCatalog,
} from '../../src/schema/catalog.ts';

/** The tables and views of schema `public`, and all else that the specification says of it. */
export interface Catalog extends Read.Catalog {
  /** Without those that a constraint owns. */
  readonly indexes: readonly Index[];
  readonly triggers: readonly Trigger[];
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
