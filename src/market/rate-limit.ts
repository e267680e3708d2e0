import { setTimeout as sleep } from 'node:timers/promises';

/** At most this many requests within any time of this length. */
export interface RateLimit {
  readonly requests: number;
  readonly windowMs: number;
}

/** How long the first requests of a pacer take, one after another, when each takes `answerMs`. */
export function pacedMs(
  count: number,
  { requests, windowMs }: RateLimit,
  { answerMs }: { readonly answerMs: number },
): number {
  if (count === 0) return 0;
  const waits = Math.floor((count - 1) / requests);
  const inLastWindow = count - waits * requests;
  return Math.max(count * answerMs, waits * (windowMs + answerMs) + inLastWindow * answerMs);
}

/**
 * Returns a function that makes one request after another, at once while the limit allows it. It waits where the next
 * request would exceed the limit, and rejects with an `AbortError` when the signal fires meanwhile. Requests that fail
 * count too.
 */
export function createPacer(
  { requests, windowMs }: RateLimit,
  {
    signal,
    onWait,
  }: {
    readonly signal: AbortSignal | undefined;
    readonly onWait: (delayMs: number) => void;
  },
): <T>(request: () => Promise<T>) => Promise<T> {
  // When the last requests ended: the host has counted each of them before.
  const ends: number[] = [];
  return async (request) => {
    const oldest = ends.length < requests ? undefined : ends.shift();
    const delayMs = oldest === undefined ? 0 : Math.ceil(oldest + windowMs - performance.now());
    if (delayMs > 0) {
      onWait(delayMs);
      await sleep(delayMs, undefined, signal && { signal });
    }
    try {
      return await request();
    } finally {
      ends.push(performance.now());
    }
  };
}
