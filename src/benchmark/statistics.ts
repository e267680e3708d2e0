export interface Percentiles {
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/**
 * The smallest sample that at least `share` of the samples do not exceed ("nearest rank"): always a time that was
 * measured. NaN without samples.
 */
export function percentile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

export function percentilesOf(samples: readonly number[]): Percentiles {
  return {
    p50Ms: percentile(samples, 0.5),
    p95Ms: percentile(samples, 0.95),
    p99Ms: percentile(samples, 0.99),
    maxMs: percentile(samples, 1),
  };
}

/**
 * The chance that `later` is as far above `earlier` as it is, if both come from the same distribution: the one-sided
 * test of Mann and Whitney, exact for samples without ties. A tie counts against a difference. 1 for an empty sample.
 */
export function chanceOfHigher(earlier: readonly number[], later: readonly number[]): number {
  const above = later.reduce(
    (sum, value) => sum + earlier.filter((other) => value > other).length,
    0,
  );
  const ways = countOrders(earlier.length, later.length);
  const all = ways.reduce((sum, count) => sum + count, 0);
  return ways.slice(above).reduce((sum, count) => sum + count, 0) / all;
}

/** At `u`: in how many orders of `first` and `second` values exactly `u` pairs have the second value above the first. */
function countOrders(first: number, second: number): readonly number[] {
  // The largest value is one of the second sample, above all of the first, or one of the first, above none.
  let rows: number[][] = Array.from({ length: first + 1 }, () => [1]);
  for (let n = 1; n <= second; n += 1) {
    const next: number[][] = [[1]];
    for (let m = 1; m <= first; m += 1) {
      const without = next[m - 1] ?? [];
      const shifted = [...Array<number>(m).fill(0), ...(rows[m] ?? [])];
      const length = m * n + 1;
      next.push(Array.from({ length }, (_, u) => (without[u] ?? 0) + (shifted[u] ?? 0)));
    }
    rows = next;
  }
  return rows[first] ?? [1];
}
