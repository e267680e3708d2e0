import { describe, expect, it } from 'vitest';
import { chanceOfHigher, percentile, percentilesOf } from '../../src/benchmark/statistics.ts';

const oneTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1);

describe('a percentile', () => {
  it.each([
    { samples: oneTo(100), share: 0.5, expected: 50 },
    { samples: oneTo(100), share: 0.95, expected: 95 },
    { samples: oneTo(100), share: 0.99, expected: 99 },
    { samples: oneTo(20), share: 0.95, expected: 19 },
    { samples: oneTo(10), share: 0.99, expected: 10 },
    { samples: [10, 9, 100], share: 0.5, expected: 10 },
    { samples: [7], share: 0.01, expected: 7 },
    { samples: oneTo(3), share: 0, expected: 1 },
  ])('at $share of $samples.length samples is $expected', ({ samples, share, expected }) => {
    expect(percentile(samples, share)).toBe(expected);
  });

  it('of no samples is NaN', () => {
    expect(percentile([], 0.5)).toBeNaN();
  });

  it('leaves the samples in their order', () => {
    const samples = [3, 1, 2];
    expect(percentilesOf(samples)).toEqual({ p50Ms: 2, p95Ms: 3, p99Ms: 3, maxMs: 3 });
    expect(samples).toEqual([3, 1, 2]);
  });
});

describe('the chance of a higher sample', () => {
  // The number of orders of m and n values is (m + n)! / (m! n!).
  it.each([
    { earlier: oneTo(10), later: oneTo(10).map((ms) => ms + 10), chance: 1 / 184_756 },
    { earlier: oneTo(7), later: oneTo(7).map((ms) => ms + 7), chance: 1 / 3_432 },
    { earlier: [1, 2], later: [3, 4], chance: 1 / 6 },
    { earlier: [1, 3], later: [2, 4], chance: 2 / 6 },
    { earlier: [3, 4], later: [1, 2], chance: 1 },
    { earlier: [1], later: [2, 3, 4], chance: 1 / 4 },
    { earlier: [], later: [1], chance: 1 },
  ])('is $chance for $earlier and $later', ({ earlier, later, chance }) => {
    expect(chanceOfHigher(earlier, later)).toBeCloseTo(chance, 12);
  });

  it('counts ties against a difference', () => {
    expect(chanceOfHigher([1, 1, 1], [1, 1, 1])).toBe(1);
  });

  it('is what counting all orders gives', () => {
    const [first, second] = [4, 5];
    const orders = ordersOf(first + second, second);
    for (const places of orders) {
      const later = places.map((place) => place);
      const earlier = oneTo(first + second).filter((place) => !later.includes(place));
      const above = (laterOnes: readonly number[]) => {
        const others = oneTo(first + second).filter((place) => !laterOnes.includes(place));
        return laterOnes.flatMap((a) => others.filter((b) => a > b)).length;
      };
      const asHigh = orders.filter((other) => above(other) >= above(later)).length;
      expect(chanceOfHigher(earlier, later)).toBeCloseTo(asHigh / orders.length, 12);
    }
  });
});

/** All sets of `size` numbers from 1 to `last`. */
function ordersOf(last: number, size: number): readonly (readonly number[])[] {
  if (size === 0) return [[]];
  if (last < size) return [];
  return [
    ...ordersOf(last - 1, size),
    ...ordersOf(last - 1, size - 1).map((set) => [...set, last]),
  ];
}
