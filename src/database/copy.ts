import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Sql } from './client.ts';

/**
 * Runs COPY … FROM STDIN with the bytes of `chunks`, at the pace of the server. Settles once the
 * server has answered. Rejects with the server's error, or with what `chunks` throws; the caller then
 * rolls back, and nothing is written.
 *
 * postgres.js loses an error that comes after the last chunk, and the next query resolves the COPY
 * as if it had succeeded (its issue 1173). So the query's `reject` is replaced by one that destroys
 * the stream.
 */
export async function copyFrom(
  sql: Sql,
  statement: string,
  chunks: Iterable<Buffer> | AsyncIterable<Buffer>,
): Promise<void> {
  const query = sql.unsafe(statement) as unknown as CopyQuery;
  let failure: unknown;
  let isHooked = false;
  const settle = query.resolve;
  query.resolve = (stream) => {
    if (stream instanceof Writable) {
      isHooked = true;
      stream.on('error', (error) => {
        failure ??= error;
      });
      query.reject = (error) => stream.destroy(error instanceof Error ? error : undefined);
    }
    settle(stream);
  };
  const stream = await query.writable();
  // Another release of the driver may settle a COPY differently. Then errors would be lost again.
  if (!isHooked) throw new Error('postgres.js settles COPY in a way that this code does not know');
  try {
    await pipeline(chunks, stream);
  } catch (error) {
    // The pipeline reports a premature close when the server's error has destroyed the stream.
    throw failure ?? error;
  }
}

/** The parts of a postgres.js query that its connection calls. */
interface CopyQuery {
  resolve: (stream: unknown) => void;
  reject: (error: unknown) => void;
  readonly writable: () => Promise<Writable>;
}
