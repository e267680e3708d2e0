import type { TableIndex } from './index-reading.ts';
import type { Sight } from './question.ts';
import { shownRelations } from './relations.ts';

/** An index and the kind of its table. */
export type NamedIndex = Pick<TableIndex, 'name' | 'tableKind'>;

/** An index that no query uses, on any table, chunk or partition. */
export interface InvalidIndex extends NamedIndex, Pick<TableIndex, 'table'> {
  /** A session builds it, or may do so: not every role sees which index a session builds. */
  readonly isBuilding: boolean;
}

/** By name. A chunk and a partition are plain tables, as they are for REINDEX. */
export async function readInvalidIndexes(sight: Sight): Promise<readonly InvalidIndex[]> {
  return sight.sql<InvalidIndex[]>`
    with ${shownRelations(sight)}
    select
      case n.nspname when 'public' then '' else quote_ident(n.nspname) || '.' end || quote_ident(c.relname) as name,
      shown."table",
      case shown.part when 'self' then shown.kind else 'table' end as "tableKind",
      exists (
        select from pg_stat_progress_create_index p where coalesce(p.index_relid, i.indexrelid) = i.indexrelid
      ) as "isBuilding"
    from pg_index i join pg_class c on c.oid = i.indexrelid
      join pg_namespace n on n.oid = c.relnamespace
      join shown on shown.relation = i.indrelid
    where not i.indisvalid
    order by 1`;
}

/** PostgreSQL drops and rebuilds indexes of one plain table without locking it. */
function isPlain({ tableKind }: NamedIndex): boolean {
  return tableKind === 'table' || tableKind === 'materialized view';
}

export function dropStatement(index: NamedIndex): string {
  return `drop index ${isPlain(index) ? 'concurrently ' : ''}${index.name}`;
}

/** REINDEX CONCURRENTLY names what it leaves behind so (PostgreSQL documentation, REINDEX). */
export function isRemainder({ name }: NamedIndex): boolean {
  return /_cc(?:new|old)\d*"?$/.test(name);
}

/** What to do with an invalid index. REINDEX makes the index of a plain table valid, and that of no other. */
export function repairOf(index: NamedIndex): { readonly what: string; readonly statement: string } {
  const { name, tableKind } = index;
  if (isRemainder(index)) {
    return { what: 'It is what a REINDEX left behind', statement: dropStatement(index) };
  }
  if (isPlain(index)) {
    return { what: 'Rebuild it', statement: `reindex index concurrently ${name}` };
  }
  return tableKind === 'partitioned table'
    ? {
        what: 'Create the missing indexes of its partitions, and attach them',
        statement: `alter index ${name} attach partition NAME`,
      }
    : { what: 'Drop it, and create it again', statement: dropStatement(index) };
}
