import { describe, expect, it } from 'vitest';
import { daysToStore } from '../../src/prices/candles.ts';

const dayMs = 86_400_000;
const today = Date.parse('2026-11-27T00:00:00Z');
/** The start of a day, so many days before today. */
const day = (daysAgo: number) => today - daysAgo * dayMs;
/** A price at noon. */
const price = (daysAgo: number) => ({
  symbol: 'BTC',
  time: day(daysAgo) + dayMs / 2,
  priceUsd: '1',
  marketCapUsd: null,
  volume24hUsd: null,
});
const empty = { first: Number.POSITIVE_INFINITY, border: 0, today };

describe('the days that are stored together with prices', () => {
  it('are none for prices of days before the border, and for prices of today', () => {
    expect(daysToStore([price(900), price(30)], { ...empty, border: day(29) })).toBeUndefined();
    expect(daysToStore([price(0)], { ...empty, border: day(29) })).toBeUndefined();
    expect(daysToStore([], empty)).toBeUndefined();
  });

  it('are those of the prices, up to the last complete one', () => {
    expect(daysToStore([price(3), price(9), price(0)], empty)).toEqual({
      from: day(9),
      to: day(2),
    });
  });

  it('begin with the first computed day, which would vanish otherwise', () => {
    const computed = { first: day(20), border: day(25), today };
    expect(daysToStore([price(3)], computed)).toEqual({ from: day(20), to: day(2) });
  });

  it('include days of the prices before the border', () => {
    const computed = { first: day(20), border: day(25), today };
    expect(daysToStore([price(40), price(3)], computed)).toEqual({ from: day(40), to: day(2) });
  });
});
