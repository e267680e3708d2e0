import { describe, expect, it } from 'vitest';
import { backoffMs, type FailedAttempt, retry } from '../../src/runtime/retry.ts';

/** Fails that many times, then returns how many attempts it took. */
function failing(times: number): () => Promise<number> {
  let attempts = 0;
  return async () => {
    attempts += 1;
    if (attempts <= times) throw new Error(`attempt ${attempts}`);
    return attempts;
  };
}

describe('retry', () => {
  it('returns the result of the first attempt that succeeds', async () => {
    expect(await retry(failing(0), { waitMs: () => undefined })).toBe(1);
    expect(await retry(failing(3), { waitMs: () => 0 })).toBe(4);
  });

  it('throws the error of the attempt that is not to be repeated', async () => {
    const failed: FailedAttempt[] = [];
    const waitMs = (each: FailedAttempt) => {
      failed.push(each);
      return each.attempts < 3 ? 5 : undefined;
    };
    await expect(retry(failing(9), { waitMs })).rejects.toThrow('attempt 3');
    expect(failed.map(({ attempts }) => attempts)).toEqual([1, 2, 3]);
    expect(failed.map(({ error }) => String(error))).toEqual([
      'Error: attempt 1',
      'Error: attempt 2',
      'Error: attempt 3',
    ]);
    // Two waits of 5 ms; a timer may fire up to 1 ms early.
    expect(failed[2]?.elapsedMs).toBeGreaterThanOrEqual(8);
  });

  it('throws an AbortError at once when the signal fires during a wait', async () => {
    const stop = new AbortController();
    const waitMs = () => {
      setImmediate(() => stop.abort());
      return 600_000;
    };
    const done = retry(failing(9), { waitMs, signal: stop.signal });
    await expect(done).rejects.toMatchObject({ name: 'AbortError' });
  });

  it('makes no second attempt when the signal fires during the first attempt', async () => {
    const stop = new AbortController();
    let attempts = 0;
    const attempt = async () => {
      attempts += 1;
      stop.abort();
      throw new Error('refused');
    };
    const done = retry(attempt, { waitMs: () => 0, signal: stop.signal });
    await expect(done).rejects.toMatchObject({ name: 'AbortError' });
    expect(attempts).toBe(1);
  });
});

describe('backoffMs', () => {
  it.each([
    { attempts: 1, base: 100 },
    { attempts: 2, base: 200 },
    { attempts: 4, base: 800 },
    { attempts: 5, base: 1_000 },
    { attempts: 2_000, base: 1_000 },
  ])('waits about $base ms after $attempts attempts', ({ attempts, base }) => {
    const waits = Array.from({ length: 200 }, () =>
      backoffMs(attempts, { firstMs: 100, lastMs: 1_000 }),
    );
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(base * 0.75);
    expect(Math.max(...waits)).toBeLessThan(base * 1.25);
    expect(new Set(waits).size).toBeGreaterThan(1);
  });

  it('grows by the given factor', () => {
    const wait = backoffMs(3, { firstMs: 100, factor: 1.5 });
    expect(wait / 225).toBeGreaterThanOrEqual(0.75);
    expect(wait / 225).toBeLessThan(1.25);
  });
});
