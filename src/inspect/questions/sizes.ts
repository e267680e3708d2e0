import { formatBytes } from '../../runtime/amounts.ts';
import { defineQuestion, type Sight } from '../question.ts';
import { type RelationKind, shownRelations } from '../relations.ts';
import { describeHeld } from '../sight.ts';

/** A table with all its partitions or chunks. */
export type TableSize = {
  readonly table: string;
  readonly kind: RelationKind;
  /** As the server last counted them; null before the first ANALYZE. */
  readonly rows: number | null;
  /** null for a table that is no hypertable. */
  readonly chunks: number | null;
  readonly tableBytes: number;
  readonly indexBytes: number;
  readonly toastBytes: number;
  readonly totalBytes: number;
  /** What the compressed chunks took before; null without one. */
  readonly beforeBytes: number | null;
  /** What they take now. */
  readonly afterBytes: number | null;
};

/** The largest first. Waits for sessions that hold a table exclusively. */
export async function readSizes(sight: Sight): Promise<readonly TableSize[]> {
  const { sql, hasTimescale } = sight;
  const compressed = hasTimescale
    ? sql`_timescaledb_catalog.compression_chunk_size`
    : sql`(select null::int as chunk_id, 0 as uncompressed_heap_size, 0 as uncompressed_index_size,
        0 as uncompressed_toast_size, 0 as numrows_pre_compression where false)`;
  return sql<TableSize[]>`
    with ${shownRelations(sight)},
    measured as (
      select shown.*, c.reltuples,
        coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0) as toast,
        pg_table_size(c.oid) as own, pg_indexes_size(c.oid) as indexes
      from readable shown join pg_class c on c.oid = shown.relation
    )
    select
      "table", min(kind) as kind,
      sum(case
        when z.chunk_id is not null then z.numrows_pre_compression
        when part in ('self', 'chunk', 'partition') and reltuples >= 0 then reltuples
      end)::float8 as rows,
      case when min(kind) in ('hypertable', 'continuous aggregate')
        then count(*) filter (where part = 'chunk') end::float8 as chunks,
      sum(own - toast)::float8 as "tableBytes",
      sum(indexes)::float8 as "indexBytes",
      sum(toast)::float8 as "toastBytes",
      sum(own + indexes)::float8 as "totalBytes",
      sum(z.uncompressed_heap_size + z.uncompressed_index_size + z.uncompressed_toast_size)::float8 as "beforeBytes",
      (sum(own + indexes) filter (where part = 'compressed chunk'))::float8 as "afterBytes"
    from measured left join ${compressed} z on z.chunk_id = measured.chunk and part = 'chunk'
    group by "table"
    order by "totalBytes" desc nulls last, "table" collate "C"`;
}

/** Smaller amounts are not worth a statement. */
const notable = 10e6;

export function adviseSizes(tables: readonly TableSize[]): readonly string[] {
  return tables.flatMap(
    ({ table, tableBytes, toastBytes, indexBytes, beforeBytes, afterBytes }) => {
      const rowBytes = tableBytes + toastBytes;
      if (beforeBytes !== null && afterBytes !== null) {
        return beforeBytes >= notable && afterBytes > beforeBytes / 2
          ? [
              `Compression of ${table} saves less than half: ${formatBytes(beforeBytes)} became ${formatBytes(afterBytes)}. ` +
                'Segment it by a column that many rows of a chunk share: ' +
                `\`alter table ${table} set (timescaledb.compress, timescaledb.compress_segmentby = 'COLUMN')\`. ` +
                'Chunks compressed from then on follow it.',
            ]
          : [];
      }
      return indexBytes >= notable && indexBytes > 2 * rowBytes
        ? [
            `The indexes of ${table} take ${formatBytes(indexBytes)}, its rows ${formatBytes(rowBytes)}. ` +
              'See which of them no query needs: `cryptosense-db inspect indexes`.',
          ]
        : [];
    },
  );
}

export const sizes = defineQuestion<TableSize>({
  name: 'sizes',
  columns: [
    { key: 'table', label: 'table', kind: 'text' },
    { key: 'kind', label: 'kind', kind: 'text', isOptional: true },
    { key: 'rows', label: 'rows', kind: 'count' },
    { key: 'chunks', label: 'chunks', kind: 'count', isOptional: true },
    { key: 'tableBytes', label: 'heap', kind: 'bytes' },
    { key: 'indexBytes', label: 'indexes', kind: 'bytes' },
    { key: 'toastBytes', label: 'TOAST', kind: 'bytes', isOptional: true },
    { key: 'totalBytes', label: 'total', kind: 'bytes' },
    { key: 'beforeBytes', label: 'uncompressed', kind: 'bytes' },
    { key: 'afterBytes', label: 'compressed', kind: 'bytes' },
  ],
  empty: 'The database has no table.',
  ask: async (_, sight) => {
    const rows = await readSizes(sight);
    return { rows, advice: adviseSizes(rows), unseen: describeHeld(sight) };
  },
});
