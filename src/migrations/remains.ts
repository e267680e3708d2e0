import {
  quoteIdentifier,
  quoteLiteral,
  type Sql,
  withTransaction,
} from '../database/connection.ts';
import type { Statement } from './parse.ts';
import type { Name, Remains } from './run-mode.ts';

type RemainsOf<K extends Remains['kind']> = Extract<Remains, { readonly kind: K }>;

/**
 * What is left to run of a statement that an earlier run started: the statement, another one that finishes it, or
 * nothing (undefined). Removes what would stop it, such as an invalid index. `isUnchanged`: the statement is the one
 * that was started.
 */
export async function restOf(
  sql: Sql,
  { text, run: { remains } }: Statement,
  { isUnchanged }: { readonly isUnchanged: boolean },
): Promise<string | undefined> {
  switch (remains?.kind) {
    case 'index':
      return (await isBuilt(sql, remains)) && isUnchanged ? undefined : text;
    case 'reindex':
      if (remains.isConcurrent) await dropCopies(sql, remains);
      return text;
    case 'aggregate':
      return isUnchanged && (await isRelation(sql, remains.view))
        ? refreshOf(sql, remains.view)
        : text;
    case 'partition': {
      const state = await detachingState(sql, remains);
      if (state === 'attached') return text;
      return state === 'pending' ? finalizeOf(remains) : undefined;
    }
    case 'object': {
      const isThere = await isObject(sql, remains);
      if (remains.change === 'drop') return isThere ? text : undefined;
      return isThere && isUnchanged ? undefined : text;
    }
    case 'repeatable':
    case undefined:
      return text;
    default:
      return remains satisfies never;
  }
}

/** What stands under the name that a statement is about to create; `invalid` for an index that no query can use. */
export async function standing(
  sql: Sql,
  remains: Remains | undefined,
): Promise<'nothing' | 'invalid' | 'valid'> {
  switch (remains?.kind) {
    case 'index': {
      const found = await findIndex(sql, remains);
      if (!found) return 'nothing';
      return found.isValid ? 'valid' : 'invalid';
    }
    case 'aggregate':
      return (await isRelation(sql, remains.view)) ? 'valid' : 'nothing';
    case 'object':
      return remains.change === 'create' && (await isObject(sql, remains)) ? 'valid' : 'nothing';
    default:
      return 'nothing';
  }
}

/** True for a valid index. Drops an invalid one, unless another session is about to make it valid. */
async function isBuilt(sql: Sql, remains: RemainsOf<'index'>): Promise<boolean> {
  const found = await findIndex(sql, remains);
  if (!found || found.isValid) return found !== undefined;
  // The session that builds an index holds this lock on its table.
  const table = quoteIdentifier(...remains.table);
  await withTransaction(sql, () =>
    sql.unsafe(`lock table only ${table} in share update exclusive mode`),
  );
  const still = await findIndex(sql, remains);
  if (still && !still.isValid) {
    const how = remains.isConcurrent ? 'concurrently ' : '';
    await sql.unsafe(`drop index ${how}${quoteIdentifier(still.schema, remains.index)}`);
  }
  return still?.isValid === true;
}

async function findIndex(sql: Sql, { index, table }: RemainsOf<'index'>) {
  const [found] = await sql<{ isValid: boolean; schema: string }[]>`
    select i.indisvalid as "isValid", n.nspname as schema
    from pg_index i join pg_class c on c.oid = i.indexrelid
      join pg_namespace n on n.oid = c.relnamespace
    where i.indrelid = to_regclass(${quoteIdentifier(...table)}) and c.relname = ${index}`;
  return found;
}

/**
 * Drops what an interrupted REINDEX CONCURRENTLY leaves beside the indexes: copies that were not finished, and
 * originals that were replaced (PostgreSQL documentation, REINDEX).
 */
async function dropCopies(sql: Sql, remains: RemainsOf<'reindex'>): Promise<void> {
  const copies = await sql.unsafe<{ schema: string; name: string }[]>(`
    with tables as (${tablesOf(remains)})
    select n.nspname as schema, c.relname as name
    from pg_index i join pg_class c on c.oid = i.indexrelid
      join pg_namespace n on n.oid = c.relnamespace
    where not i.indisvalid and c.relname ~ '_cc(new|old)[0-9]*$'
      and (i.indrelid in (select oid from tables) or i.indrelid in (
        select t.reltoastrelid from pg_class t where t.oid in (select oid from tables)))
      and c.oid not in (
        select index_relid from pg_stat_progress_create_index where index_relid is not null)`);
  for (const { schema, name } of copies) {
    await sql.unsafe(`drop index concurrently if exists ${quoteIdentifier(schema, name)}`);
  }
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

async function isRelation(sql: Sql, name: Name): Promise<boolean> {
  const [found] = await sql`select where to_regclass(${quoteIdentifier(...name)}) is not null`;
  return found !== undefined;
}

/** WITH DATA refreshes the whole range, and so does this. */
async function refreshOf(sql: Sql, view: Name): Promise<string> {
  const [extension] = await sql<{ schema: string }[]>`
    select n.nspname as schema from pg_extension e join pg_namespace n on n.oid = e.extnamespace
    where e.extname = 'timescaledb'`;
  const refresh = quoteIdentifier(extension?.schema ?? 'public', 'refresh_continuous_aggregate');
  return `call ${refresh}(${quoteLiteral(quoteIdentifier(...view))}, null, null)`;
}

async function detachingState(
  sql: Sql,
  { table, partition }: RemainsOf<'partition'>,
): Promise<'attached' | 'pending' | 'detached'> {
  const [link] = await sql<{ isPending: boolean }[]>`
    select inhdetachpending as "isPending" from pg_inherits
    where inhparent = to_regclass(${quoteIdentifier(...table)})
      and inhrelid = to_regclass(${quoteIdentifier(...partition)})`;
  if (!link) return 'detached';
  return link.isPending ? 'pending' : 'attached';
}

function finalizeOf({ table, partition }: RemainsOf<'partition'>): string {
  return `alter table ${quoteIdentifier(...table)} detach partition ${quoteIdentifier(...partition)} finalize`;
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
  return (await queries[catalog]).length > 0;
}
