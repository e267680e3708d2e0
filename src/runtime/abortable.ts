/**
 * The same pieces, until the signal fires: then its reason is thrown, even while a piece is awaited that never comes.
 * The source is told to end in every case.
 */
export async function* untilAborted<T>(
  content: AsyncIterable<T>,
  signal: AbortSignal | undefined,
): AsyncGenerator<T> {
  const source = content[Symbol.asyncIterator]();
  let isEnded = false;
  try {
    for (;;) {
      const next = await orAborted(source.next(), signal);
      if (next.done) {
        isEnded = true;
        return;
      }
      yield next.value;
    }
  } catch (error) {
    // A source that has thrown is at its end, and one that is awaited for ever would never answer.
    isEnded = !signal?.aborted;
    throw error;
  } finally {
    if (!isEnded) {
      const end = Promise.resolve(source.return?.()).catch(() => {});
      if (!signal?.aborted) await end;
    }
  }
}

/** The result of the work, or the reason of the signal if that fires first. */
export function orAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    // Removed after each piece: a promise of the signal would remember every race.
    else signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
