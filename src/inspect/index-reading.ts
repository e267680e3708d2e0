import type { Sight } from './question.ts';
import { type RelationKind, shownRelations } from './relations.ts';

/** An index of a table, with those of its partitions or chunks. */
export interface TableIndex {
  readonly table: string;
  readonly tableKind: RelationKind;
  /** As an identifier, without its schema where that is public. */
  readonly name: string;
  readonly method: string;
  /** A column or an expression for each key. */
  readonly keys: readonly string[];
  /** Operator class and collation of each key, as numbers. */
  readonly classes: readonly string[];
  /** Of each key: bit 1 stands for descending, bit 2 for NULLs first. */
  readonly options: readonly number[];
  /** Columns that are only stored. */
  readonly included: readonly string[];
  readonly predicate: string | null;
  readonly isUnique: boolean;
  readonly isOfConstraint: boolean;
  /** Logical replication finds rows by it. */
  readonly isReplicaIdentity: boolean;
  /** Its first columns are those of a foreign key of the table. */
  readonly servesForeignKey: boolean;
  readonly isValid: boolean;
  readonly bytes: number;
  readonly scans: number;
  /** What the index has to take at least; null where that cannot be estimated. */
  readonly neededBytes: number | null;
}

interface OwnIndex extends TableIndex {
  readonly relation: string;
  /** What follows USING in its definition, which the indexes of its chunks share. */
  readonly definition: string;
}

/** Indexes of chunks or partitions that one index of their table has made, or that were made alike. */
interface PartIndexes {
  readonly table: string;
  /** The name without that of the chunk: TimescaleDB puts the chunk's name before the name of the index. */
  readonly suffix: string;
  readonly definition: string;
  readonly bytes: number;
  readonly scans: number;
  readonly areValid: boolean;
}

/** By table and name. Those of compressed chunks, which TimescaleDB makes, are left out. */
export async function readIndexes(sight: Sight): Promise<readonly TableIndex[]> {
  const { sql } = sight;
  const own = await sql<OwnIndex[]>`
    with ${shownRelations(sight)}
    select
      shown."table", shown.kind as "tableKind", i.relname as relation,
      case n.nspname when 'public' then '' else quote_ident(n.nspname) || '.' end || quote_ident(i.relname) as name,
      am.amname as method,
      array(
        select pg_get_indexdef(x.indexrelid, key, true) from generate_series(1, x.indnkeyatts) key order by key
      ) as keys,
      array(
        select x.indclass[key] || ' ' || x.indcollation[key] from generate_series(0, x.indnkeyatts - 1) key order by key
      ) as classes,
      array(select x.indoption[key]::int from generate_series(0, x.indnkeyatts - 1) key order by key) as options,
      array(
        select pg_get_indexdef(x.indexrelid, key, true)
        from generate_series(x.indnkeyatts + 1, x.indnatts) key order by key
      ) as included,
      pg_get_expr(x.indpred, x.indrelid, true) as predicate,
      x.indisunique as "isUnique",
      exists (
        select from pg_constraint k where k.conindid = x.indexrelid and k.contype in ('p', 'u', 'x')
      ) as "isOfConstraint",
      exists (
        select from pg_constraint k
        where k.conrelid = x.indrelid and k.contype = 'f' and x.indnkeyatts >= cardinality(k.conkey)
          and (x.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey
      ) as "servesForeignKey",
      x.indisreplident as "isReplicaIdentity",
      -- CREATE INDEX CONCURRENTLY leaves its index invalid until it has built it.
      x.indisvalid or exists (
        select from pg_stat_progress_create_index p where coalesce(p.index_relid, x.indexrelid) = x.indexrelid
      ) as "isValid",
      pg_relation_size(x.indexrelid)::float8 as bytes,
      coalesce(s.idx_scan, 0)::float8 as scans,
      substring(pg_get_indexdef(x.indexrelid) from ' USING (.*)$') as definition,
      case when am.amname = 'btree' and shown.kind = 'table' and i.reltuples > 0 then (
        -- A page has 8,152 bytes for entries, and is filled to the fill factor. An entry has 12 bytes besides its keys,
        -- and is padded to 8.
        select (2 + ceil(i.reltuples * (4 + 8 * ceil((8 + sum(v.width)) / 8)) / (8152 * coalesce(
          (select option_value::int from pg_options_to_table(i.reloptions) where option_name = 'fillfactor'), 90
        ) / 100.0))) * 8192
        from generate_series(1, x.indnkeyatts) key
        left join pg_attribute a on a.attrelid = case x.indkey[key - 1] when 0 then x.indexrelid else x.indrelid end
          and a.attnum = case x.indkey[key - 1] when 0 then key else x.indkey[key - 1] end
        left join lateral (
          select avg_width * (1 - null_frac) as width from pg_stats
          where schemaname = n.nspname and attname = a.attname and not inherited
            and tablename = case x.indkey[key - 1] when 0 then i.relname else c.relname end
        ) v on true
        having count(v.width) = count(*)
      ) end::float8 as "neededBytes"
    from readable shown
    join pg_index x on x.indrelid = shown.relation
    join pg_class i on i.oid = x.indexrelid
    join pg_class c on c.oid = x.indrelid
    join pg_namespace n on n.oid = i.relnamespace
    join pg_am am on am.oid = i.relam
    left join pg_stat_all_indexes s on s.indexrelid = x.indexrelid
    where shown.part = 'self'
    order by shown."table" collate "C", i.relname collate "C"`;
  const parts = await sql<PartIndexes[]>`
    with ${shownRelations(sight)}
    select
      shown."table", substr(i.relname, length(c.relname) + 2) as suffix,
      substring(pg_get_indexdef(x.indexrelid) from ' USING (.*)$') as definition,
      sum(pg_relation_size(x.indexrelid))::float8 as bytes,
      coalesce(sum(s.idx_scan), 0)::float8 as scans,
      bool_and(x.indisvalid) as "areValid"
    from readable shown
    join pg_index x on x.indrelid = shown.relation
    join pg_class i on i.oid = x.indexrelid and i.relkind = 'i'
    join pg_class c on c.oid = x.indrelid
    left join pg_stat_all_indexes s on s.indexrelid = x.indexrelid
    where shown.part in ('chunk', 'partition')
    group by 1, 2, 3`;
  return own.map(({ relation, definition, ...index }) =>
    withParts(index, partsOf({ ...index, relation, definition }, { own, parts })),
  );
}

/**
 * The parts with the definition of the index. Of two indexes with one definition each has the parts that are named after
 * it.
 */
function partsOf(
  { table, relation, definition }: OwnIndex,
  { own, parts }: { readonly own: readonly OwnIndex[]; readonly parts: readonly PartIndexes[] },
): readonly PartIndexes[] {
  const alike = own.filter((each) => each.table === table && each.definition === definition);
  const named = new Set(alike.map((each) => each.relation));
  return parts.filter(
    (part) =>
      part.table === table &&
      part.definition === definition &&
      (part.suffix === relation || (alike[0]?.relation === relation && !named.has(part.suffix))),
  );
}

function withParts(index: TableIndex, parts: readonly PartIndexes[]): TableIndex {
  return {
    ...index,
    bytes: parts.reduce((sum, { bytes }) => sum + bytes, index.bytes),
    scans: parts.reduce((sum, { scans }) => sum + scans, index.scans),
    isValid: index.isValid && parts.every(({ areValid }) => areValid),
  };
}

/** A foreign key for whose columns its table has no index. */
export interface UncoveredKey {
  readonly table: string;
  readonly tableKind: RelationKind;
  readonly name: string;
  /** As identifiers. */
  readonly columns: readonly string[];
  readonly referenced: string;
}

/**
 * An index serves a foreign key when its first columns are those of the key, and it has every row in which they are not
 * NULL.
 */
export async function readUncoveredKeys(sight: Sight): Promise<readonly UncoveredKey[]> {
  return sight.sql<UncoveredKey[]>`
    with ${shownRelations(sight)}
    select
      shown."table", shown.kind as "tableKind", quote_ident(k.conname) as name,
      array(
        select quote_ident(a.attname) from unnest(k.conkey) with ordinality as key (number, place)
        join pg_attribute a on a.attrelid = k.conrelid and a.attnum = key.number order by place
      ) as columns,
      other."table" as referenced
    from pg_constraint k
    join readable shown on shown.relation = k.conrelid and shown.part = 'self'
    join shown other on other.relation = k.confrelid
    where k.contype = 'f' and k.conparentid = 0 and not exists (
      select from pg_index x
      where x.indrelid = k.conrelid and x.indisvalid and x.indnkeyatts >= cardinality(k.conkey)
        -- indkey counts from 0.
        and (x.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey
        and (x.indpred is null or btrim(pg_get_expr(x.indpred, x.indrelid, true), '()') in (
          select format('%I IS NOT NULL', a.attname) from pg_attribute a
          where a.attrelid = k.conrelid and a.attnum = any (k.conkey)
        ))
    )
    order by shown."table" collate "C", k.conname collate "C"`;
}

/** How often each table was read since the counters run, by its name. */
export async function readTableScans(sight: Sight): Promise<ReadonlyMap<string, number>> {
  const rows = await sight.sql<{ table: string; scans: number }[]>`
    with ${shownRelations(sight)}
    select "table", coalesce(sum(s.seq_scan + coalesce(s.idx_scan, 0)), 0)::float8 as scans
    from shown join pg_stat_all_tables s on s.relid = shown.relation
    group by 1`;
  return new Map(rows.map(({ table, scans }) => [table, scans]));
}
