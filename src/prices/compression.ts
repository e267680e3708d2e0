import type { Session } from '../database/connection.ts';
import type { TimeRange } from '../market/prices.ts';
import { isTransient } from './candles.ts';

/** Compresses again the chunks of a range that imported rows have left partially compressed; returns how many. */
export async function compressPartial({ sql }: Session, { from, to }: TimeRange): Promise<number> {
  // Bit 3 of a chunk's status says that it is compressed in part (TimescaleDB, CHUNK_STATUS_COMPRESSED_PARTIAL).
  const chunks = await sql<{ name: string }[]>`
    select format('%I.%I', shown.chunk_schema, shown.chunk_name) as name
    from timescaledb_information.chunks shown
    join _timescaledb_catalog.chunk chunk
      on chunk.schema_name = shown.chunk_schema and chunk.table_name = shown.chunk_name
    where shown.hypertable_schema = 'public' and shown.hypertable_name = 'price_history'
      and shown.range_start < ${new Date(to)} and shown.range_end > ${new Date(from)}
      and chunk.status & 8 > 0
    order by 1`;
  let compressed = 0;
  for (const { name } of chunks) {
    const done = await sql`select compress_chunk(${name}::regclass)`.catch((error: unknown) => {
      // The policy has the chunk, or a session writes to it: the next run of the policy compresses it.
      if (!isTransient(error)) throw error;
    });
    if (done) compressed += 1;
  }
  return compressed;
}
