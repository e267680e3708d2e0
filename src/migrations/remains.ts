import {
  quoteIdentifier,
  quoteLiteral,
  type Sql,
  withTransaction,
} from '../database/connection.ts';
import { isSqlError, sqlState } from '../database/sql-errors.ts';
import type { Name, Remains } from './run-mode.ts';
import { tableLockSetting, withCatalogPath } from './step.ts';

type RemainsOf<K extends Remains['kind']> = Extract<Remains, { readonly kind: K }>;

/** How much of a statement's work is in the database. */
export type Standing = 'nothing' | 'part' | 'whole';

interface CleanUpOptions {
  readonly tableLockTimeoutMs: number;
}

/** The server refused to remove what an interrupted statement has left; `cause` is the server's error. */
export class CleanUpError extends Error {
  /** The statement that was refused. */
  readonly text: string;

  constructor(text: string, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.text = text;
  }
}

/**
 * The same remains with their schemas, as the search path of this moment gives them. The functions below take remains
 * in this form, under any search path.
 */
export async function withSchemas(
  sql: Sql,
  remains: Remains | undefined,
): Promise<Remains | undefined> {
  switch (remains?.kind) {
    case 'index':
      return { ...remains, table: await fullName(sql, remains.table) };
    case 'reindex': {
      const isRelation = remains.scope === 'index' || remains.scope === 'table';
      return isRelation ? { ...remains, name: await fullName(sql, remains.name) } : remains;
    }
    case 'aggregate':
      return { ...remains, view: await newName(sql, remains.view) };
    case 'partition': {
      const table = await fullName(sql, remains.table);
      return { ...remains, table, partition: await fullName(sql, remains.partition) };
    }
    case 'object':
      return remains.catalog === 'index'
        ? { ...remains, name: await fullName(sql, remains.name) }
        : remains;
    case 'repeatable':
    case undefined:
      return remains;
    default:
      return remains satisfies never;
  }
}

/** The name of a relation that exists, with the schema in which the search path finds it. */
async function fullName(sql: Sql, name: Name): Promise<Name> {
  if (name.length > 1) return name;
  const [found] = await sql<{ schema: string }[]>`
    select n.nspname as schema
    from pg_catalog.pg_class c
      join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) c.relnamespace
    where c.oid operator(pg_catalog.=) pg_catalog.to_regclass(${quoteIdentifier(...name)})`;
  return found ? [found.schema, ...name] : newName(sql, name);
}

async function newName(sql: Sql, name: Name): Promise<Name> {
  if (name.length > 1) return name;
  const [{ schema }] = await sql<[{ schema: string | null }]>`
    select pg_catalog.current_schema() as schema`;
  return [schema ?? 'public', ...name];
}

/** The object that the statement makes or removes; empty for one that has none. */
export function subjectOf(remains: Remains): Name {
  switch (remains.kind) {
    case 'index':
      return indexName(remains);
    case 'aggregate':
      return remains.view;
    case 'partition':
      return remains.partition;
    case 'reindex':
    case 'object':
      return remains.name;
    case 'repeatable':
      return [];
    default:
      return remains satisfies never;
  }
}

/** True when nothing stands in the way of the statement. Drops an invalid index that IF NOT EXISTS would step over. */
export async function isFree(
  sql: Sql,
  remains: Remains | undefined,
  options: CleanUpOptions,
): Promise<boolean> {
  if (!remains || remains.kind === 'reindex') return true;
  if (remains.kind === 'index' && !remains.mayExist) {
    return (await isIndexValid(sql, indexName(remains))) === undefined;
  }
  return (await cleanUp(sql, remains, options)) === 'nothing';
}

/**
 * What is left to run of a statement that an earlier run has started: the statement, another one that finishes it, or
 * nothing (undefined).
 */
export async function restOf(
  sql: Sql,
  { text, remains }: { readonly text: string; readonly remains: Remains },
  options: CleanUpOptions,
): Promise<string | undefined> {
  const standing = await cleanUp(sql, remains, options);
  if (standing === 'nothing') return text;
  if (standing === 'whole') return undefined;
  if (remains.kind === 'aggregate') return refreshOf(sql, remains);
  return remains.kind === 'partition' ? finalizeOf(remains) : text;
}

/**
 * Removes what an interrupted statement has left and no query can use, such as an invalid index. Returns how much of
 * its other work stands. Throws `CleanUpError`.
 */
export async function cleanUp(
  sql: Sql,
  remains: Remains,
  options: CleanUpOptions,
): Promise<Standing> {
  switch (remains.kind) {
    case 'index':
      return (await isBuilt(sql, remains, options)) ? 'whole' : 'nothing';
    case 'reindex':
      if (remains.isConcurrent) await dropCopies(sql, remains, options);
      return 'nothing';
    case 'aggregate':
      return (await isRelation(sql, remains.view)) ? 'part' : 'nothing';
    case 'partition':
      return detached(sql, remains);
    case 'object':
      return remains.change === 'create' ? created(sql, remains) : dropped(sql, remains);
    case 'repeatable':
      return 'nothing';
    default:
      return remains satisfies never;
  }
}

/** True for a valid index. Drops an invalid one, unless another session is about to make it valid. */
async function isBuilt(
  sql: Sql,
  remains: RemainsOf<'index'>,
  options: CleanUpOptions,
): Promise<boolean> {
  const name = indexName(remains);
  const found = await isIndexValid(sql, name);
  if (found !== false) return found === true;
  // The session that builds an index holds this lock on its table.
  const lock = `lock table only ${quoteIdentifier(...remains.table)} in share update exclusive mode`;
  await withTransaction(sql, () => run(sql, lock));
  const still = await isIndexValid(sql, name);
  if (still === false) await dropIndex(sql, name, options);
  return still === true;
}

/** PostgreSQL makes an index in the schema of its table. */
function indexName({ table, index }: RemainsOf<'index'>): Name {
  return [...table.slice(0, -1), index];
}

/** Undefined where there is no such index. */
async function isIndexValid(sql: Sql, name: Name): Promise<boolean | undefined> {
  const [found] = await withCatalogPath(
    sql,
    () => sql<{ isValid: boolean }[]>`
      select indisvalid as "isValid" from pg_index
      where indexrelid = to_regclass(${quoteIdentifier(...name)})`,
  );
  return found?.isValid;
}

/**
 * Drops what an interrupted REINDEX CONCURRENTLY leaves beside the indexes: copies that were not finished, and
 * originals that were replaced (PostgreSQL documentation, REINDEX).
 */
async function dropCopies(
  sql: Sql,
  remains: RemainsOf<'reindex'>,
  options: CleanUpOptions,
): Promise<void> {
  const query = `
    with tables as (${tablesOf(remains)})
    select n.nspname as schema, c.relname as name
    from pg_index i join pg_class c on c.oid = i.indexrelid
      join pg_namespace n on n.oid = c.relnamespace
    where not i.indisvalid and c.relname ~ '_cc(new|old)[0-9]*$'
      and (i.indrelid in (select oid from tables) or i.indrelid in (
        select t.reltoastrelid from pg_class t where t.oid in (select oid from tables)))
      and c.oid not in (
        select index_relid from pg_stat_progress_create_index where index_relid is not null)`;
  const copies = await withCatalogPath(sql, () =>
    sql.unsafe<{ schema: string; name: string }[]>(query),
  );
  for (const { schema, name } of copies) await dropIndex(sql, [schema, name], options);
}

/** A query for the tables whose indexes REINDEX rebuilds. */
function tablesOf({ scope, name }: Pick<RemainsOf<'reindex'>, 'scope' | 'name'>): string {
  const named = quoteLiteral(quoteIdentifier(...name));
  const tree = `select relid::oid as oid from pg_partition_tree(to_regclass(${named}))
    union select to_regclass(${named})::oid`;
  switch (scope) {
    case 'index':
      return `select indrelid as oid from pg_index where indexrelid in (${tree})`;
    case 'table':
      return tree;
    case 'schema':
      return `select oid from pg_class where relnamespace = to_regnamespace(${named})`;
    case 'database':
      return 'select oid from pg_class';
    default:
      return scope satisfies never;
  }
}

/** TimescaleDB refuses CONCURRENTLY for an index of a hypertable. Without it, DROP INDEX blocks the table's queries. */
async function dropIndex(
  sql: Sql,
  name: Name,
  { tableLockTimeoutMs }: CleanUpOptions,
): Promise<void> {
  const index = quoteIdentifier(...name);
  try {
    await run(sql, `drop index concurrently if exists ${index}`);
  } catch (error) {
    if (!(error instanceof CleanUpError) || sqlState(error.cause) !== '0A000') throw error;
    await withTransaction(sql, async () => {
      await sql.unsafe(`set local lock_timeout = ${tableLockSetting(tableLockTimeoutMs)}`);
      await run(sql, `drop index if exists ${index}`);
    });
  }
}

async function run(sql: Sql, text: string): Promise<void> {
  await sql.unsafe(text).catch((error: unknown) => {
    throw isSqlError(error) ? new CleanUpError(text, error) : error;
  });
}

async function isRelation(sql: Sql, name: Name): Promise<boolean> {
  const [found] = await withCatalogPath(
    sql,
    () => sql`select where to_regclass(${quoteIdentifier(...name)}) is not null`,
  );
  return found !== undefined;
}

/** WITH DATA refreshes the whole range, and so does this. */
async function refreshOf(sql: Sql, { view }: RemainsOf<'aggregate'>): Promise<string> {
  const [extension] = await withCatalogPath(
    sql,
    () => sql<{ schema: string }[]>`
      select n.nspname as schema from pg_extension e join pg_namespace n on n.oid = e.extnamespace
      where e.extname = 'timescaledb'`,
  );
  const refresh = quoteIdentifier(extension?.schema ?? 'public', 'refresh_continuous_aggregate');
  return `call ${refresh}(${quoteLiteral(quoteIdentifier(...view))}, null, null)`;
}

async function detached(sql: Sql, { table, partition }: RemainsOf<'partition'>): Promise<Standing> {
  const [link] = await withCatalogPath(
    sql,
    () => sql<{ isPending: boolean }[]>`
      select inhdetachpending as "isPending" from pg_inherits
      where inhparent = to_regclass(${quoteIdentifier(...table)})
        and inhrelid = to_regclass(${quoteIdentifier(...partition)})`,
  );
  if (!link) return 'whole';
  return link.isPending ? 'part' : 'nothing';
}

function finalizeOf({ table, partition }: RemainsOf<'partition'>): string {
  return `alter table ${quoteIdentifier(...table)} detach partition ${quoteIdentifier(...partition)} finalize`;
}

async function created(sql: Sql, remains: RemainsOf<'object'>): Promise<Standing> {
  return (await isObject(sql, remains)) ? 'whole' : 'nothing';
}

/** DROP INDEX CONCURRENTLY makes the index invalid before it removes it. */
async function dropped(sql: Sql, remains: RemainsOf<'object'>): Promise<Standing> {
  if (!(await isObject(sql, remains))) return 'whole';
  const isInvalid =
    remains.catalog === 'index' && (await isIndexValid(sql, remains.name)) === false;
  return isInvalid ? 'part' : 'nothing';
}

async function isObject(sql: Sql, { catalog, name }: RemainsOf<'object'>): Promise<boolean> {
  if (catalog === 'index') return isRelation(sql, name);
  const queries = {
    database: sql`select from pg_database where datname = ${name[0] ?? ''}`,
    tablespace: sql`select from pg_tablespace where spcname = ${name[0] ?? ''}`,
    subscription: sql`
      select from pg_subscription where subname = ${name[0] ?? ''}
        and subdbid = (select oid from pg_database where datname = current_database())`,
  };
  return (await withCatalogPath(sql, async () => queries[catalog])).length > 0;
}
