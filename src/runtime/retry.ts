import { setTimeout as sleep } from 'node:timers/promises';

export interface FailedAttempt {
  readonly error: unknown;
  /** How many attempts have failed, this one included. */
  readonly attempts: number;
  /** Since the first attempt started. */
  readonly elapsedMs: number;
}

export interface RetryOptions {
  /** The time until the next attempt; undefined ends the attempts with the error of this one. */
  readonly waitMs: (failed: FailedAttempt) => number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The result of the first attempt that succeeds; attempts are numbered from 1. Throws the error of the last attempt, and an `AbortError` when the
 * signal fires between two attempts.
 *
 * @example
 * retry(() => dropDatabase(name), {
 *   signal,
 *   waitMs: ({ error, attempts }) =>
 *     isInUse(error) && attempts < 5 ? backoffMs(attempts, { firstMs: 100 }) : undefined,
 * });
 */
export async function retry<T>(
  attempt: (number: number) => Promise<T>,
  { waitMs, signal }: RetryOptions,
): Promise<T> {
  const startedAt = performance.now();
  for (let attempts = 1; ; attempts += 1) {
    try {
      return await attempt(attempts);
    } catch (error) {
      const ms = waitMs({ error, attempts, elapsedMs: performance.now() - startedAt });
      if (ms === undefined) throw error;
      await sleep(ms, undefined, signal && { signal });
    }
  }
}

export interface Backoff {
  readonly firstMs: number;
  /** The longest wait, before jitter. Default: no limit. */
  readonly lastMs?: number;
  /** How much longer each wait is than the one before. Default 2. */
  readonly factor?: number;
}

/** The wait after that many failed attempts, a quarter shorter or longer at random: many clients spread out. */
export function backoffMs(attempts: number, backoff: Backoff): number {
  const { firstMs, lastMs = Number.POSITIVE_INFINITY, factor = 2 } = backoff;
  return Math.min(firstMs * factor ** (attempts - 1), lastMs) * (0.75 + Math.random() / 2);
}
