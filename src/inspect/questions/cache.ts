import { formatBytes, formatCount } from '../../runtime/amounts.ts';
import { defineQuestion, type Sight } from '../question.ts';
import { shownRelations } from '../relations.ts';
import { describeCounting } from '../sight.ts';

/** How much of a table came from the server's memory. A read from disk may still come from the system's cache. */
export type CacheUse = {
  /** The first row is of all tables together. */
  readonly table: string;
  /** Pages of 8 kB that were read into memory. */
  readonly readPages: number;
  /** Pages that were in memory. */
  readonly hitPages: number;
  /** null: not read. */
  readonly hitRatio: number | null;
  readonly indexHitRatio: number | null;
};

export const allTables = 'all tables';

/** Those with the most reads from disk first. */
export async function readCacheUse(sight: Sight): Promise<readonly CacheUse[]> {
  return sight.sql<CacheUse[]>`
    with ${shownRelations(sight)},
    pages as (
      select "table",
        coalesce(heap_blks_read, 0) + coalesce(toast_blks_read, 0) as heap_read,
        coalesce(heap_blks_hit, 0) + coalesce(toast_blks_hit, 0) as heap_hit,
        coalesce(idx_blks_read, 0) + coalesce(tidx_blks_read, 0) as index_read,
        coalesce(idx_blks_hit, 0) + coalesce(tidx_blks_hit, 0) as index_hit
      from shown join pg_statio_all_tables s on s.relid = shown.relation
    )
    select
      coalesce("table", ${allTables}) as "table",
      coalesce(sum(heap_read + index_read), 0)::float8 as "readPages",
      coalesce(sum(heap_hit + index_hit), 0)::float8 as "hitPages",
      (sum(heap_hit) / nullif(sum(heap_hit + heap_read), 0))::float8 as "hitRatio",
      (sum(index_hit) / nullif(sum(index_hit + index_read), 0))::float8 as "indexHitRatio"
    from pages
    group by rollup ("table")
    having "table" is null or sum(heap_read + heap_hit + index_read + index_hit) > 0
    order by pages."table" is not null, "readPages" desc, "table" collate "C"`;
}

/** Fewer reads are a server that has just started. */
const enoughPages = 10_000;
/** Of the reads of a service; what PostgreSQL's handbooks and its hosts take as the border. */
const lowRatio = 0.9;

export function adviseCache(rows: readonly CacheUse[], sharedBuffers: number): readonly string[] {
  const [all, ...tables] = rows;
  if (!all) return [];
  const ratio = all.hitPages / Math.max(1, all.hitPages + all.readPages);
  if (all.readPages < enoughPages || ratio >= lowRatio) return [];
  const worst = tables.slice(0, 3).map(({ table, readPages }) => {
    return `${table} (${formatCount(readPages)} pages)`;
  });
  return [
    `${Math.round(ratio * 100)}% of the pages came from the server's memory; 99% is usual. ` +
      `Most were read from disk for ${worst.join(', ')}. ` +
      `shared_buffers is ${formatBytes(sharedBuffers)}: give it a quarter of the machine's memory and restart, as in ` +
      "`alter system set shared_buffers = '4GB'`. See which statements read much: `cryptosense-db inspect slow`.",
  ];
}

export const cache = defineQuestion<CacheUse>({
  name: 'cache',
  columns: [
    { key: 'table', label: 'table', kind: 'text' },
    { key: 'readPages', label: 'from disk', kind: 'count' },
    { key: 'hitPages', label: 'from memory', kind: 'count' },
    { key: 'hitRatio', label: 'heap hits', kind: 'ratio' },
    { key: 'indexHitRatio', label: 'index hits', kind: 'ratio' },
  ],
  empty: 'No table has been read.',
  ask: async ({ sql }, sight) => {
    const rows = await readCacheUse(sight);
    const [{ bytes }] = await sql<[{ bytes: number }]>`
      select pg_size_bytes(current_setting('shared_buffers'))::float8 as bytes`;
    return { rows, advice: adviseCache(rows, bytes), unseen: describeCounting(sight) };
  },
});
