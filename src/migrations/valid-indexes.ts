import { quoteIdentifier, quoteLiteral } from '../database/connection.ts';
import type { StatementNode } from '../sql/parse.ts';
import { asNode } from '../sql/tree.ts';
import { type Name, nameOf, runModeOf } from './run-mode.ts';

/** The indexes that have to be valid after a statement: one, or all of a table and its partitions. */
export type IndexSet =
  | { readonly of: 'created'; readonly index: string; readonly table: Name }
  | { readonly of: 'rebuilt'; readonly scope: 'index' | 'table'; readonly name: Name };

/**
 * The indexes to look at after the statement. IF NOT EXISTS steps over an invalid index, REINDEX TABLE CONCURRENTLY
 * over those that were invalid before, and the index of a partitioned table is invalid where it takes over an invalid
 * one of a partition. Undefined for CREATE INDEX ON ONLY, whose index becomes valid when that of the last partition is
 * attached.
 */
export function indexesAfter(node: StatementNode): IndexSet | undefined {
  const { type, body } = node;
  if (type === 'IndexStmt' && body.idxname !== undefined && asNode(body.relation).inh === true) {
    return { of: 'created', index: String(body.idxname), table: nameOf(body.relation) };
  }
  const { remains } = runModeOf(node);
  if (remains?.kind !== 'reindex' || !remains.isConcurrent) return undefined;
  const { scope, name } = remains;
  return scope === 'index' || scope === 'table' ? { of: 'rebuilt', scope, name } : undefined;
}

/**
 * A statement that fails, with the remedy, when one of the indexes is invalid. It runs under the file's search path, by
 * which it takes the name, and searches pg_catalog alone for the rest.
 */
export function requireValid(indexes: IndexSet): string {
  const name = indexes.of === 'created' ? indexes.table : indexes.name;
  const body = onOneLine`
    declare
      named pg_catalog.regclass := pg_catalog.to_regclass(${quoteLiteral(quoteIdentifier(...name))});
      path pg_catalog.text := pg_catalog.current_setting('search_path');
      found record;
      leaf pg_catalog.text;
    begin
      perform pg_catalog.set_config('search_path', 'pg_catalog', true);
      select c.oid, format('%I.%I', n.nspname, c.relname) as name, c.relkind = 'I' as partitioned into found
      from pg_index i
        join pg_class c on c.oid = i.indexrelid
        join pg_namespace n on n.oid = c.relnamespace
      where not i.indisvalid and ${conditionOf(indexes)}
      limit 1;
      if found.partitioned then
        select format('%I.%I', n.nspname, c.relname) into leaf
        from pg_partition_tree(found.oid) tree
          join pg_index i on i.indexrelid = tree.relid
          join pg_class c on c.oid = tree.relid
          join pg_namespace n on n.oid = c.relnamespace
        where tree.isleaf and not i.indisvalid
        limit 1;
      end if;
      if found.name is not null then
        raise exception 'the index % is invalid, and no query uses it', found.name
          using errcode = 'object_not_in_prerequisite_state',
            hint = case
              when leaf is not null
                then 'rebuild that of the partition, then run the command again: reindex index concurrently ' || leaf
              else 'drop it, then run the command again: drop index '
                || case when found.partitioned then '' else 'concurrently ' end || found.name
            end;
      end if;
      perform set_config('search_path', path, true);
    end`;
  return `do ${quoteLiteral(body)}`;
}

/** White space of the template becomes one space. In a script that a person reads, the check stands after each index. */
function onOneLine(fixed: TemplateStringsArray, ...values: readonly string[]): string {
  return fixed.map((part, at) => part.replaceAll(/\s+/g, ' ') + (values[at] ?? '')).join('');
}

function conditionOf(indexes: IndexSet): string {
  if (indexes.of === 'created') {
    return `i.indrelid = named and c.relname = ${quoteLiteral(indexes.index)}`;
  }
  const column = indexes.scope === 'index' ? 'i.indexrelid' : 'i.indrelid';
  // REINDEX leaves the index of a partitioned table to its partitions.
  return `c.relkind = 'i' and ${column} in (select relid from pg_partition_tree(named) union select named)`;
}
