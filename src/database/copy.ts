import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Sql } from './client.ts';

/**
 * Runs a COPY … FROM STDIN with what `chunks` gives, as fast as the server takes it. Settles once the
 * server has answered: rejects with its error, or with what `chunks` throws, and nothing is written
 * then. The caller rolls back.
 *
 * postgres.js loses an error that comes after the last chunk, and a later query makes the COPY look
 * as if it had succeeded (its issue 1173): the query's reject is made to destroy the stream.
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
  // Without it the loss of an error would be silent again: another release of the driver, say.
  if (!isHooked) throw new Error('the driver settles a COPY in another way than is known here');
  try {
    await pipeline(chunks, stream);
  } catch (error) {
    // A pipeline into a stream that the server's error has destroyed has a premature close to tell.
    throw failure ?? error;
  }
}

/** What postgres.js keeps on a query, as its connection calls it. */
interface CopyQuery {
  resolve: (stream: unknown) => void;
  reject: (error: unknown) => void;
  readonly writable: () => Promise<Writable>;
}
