import { describe, expect, it } from 'vitest';
import { inSafeOrder, storedAfter } from '../../src/prices/safe-order.ts';

const dayMs = 86_400_000;
const today = Date.parse('2026-11-27T00:00:00Z');
/** A price at noon, `daysAgo` days before today. */
const price = (daysAgo: number) => ({
  symbol: 'BTC',
  time: today - daysAgo * dayMs + dayMs / 2,
  priceUsd: '1',
  marketCapUsd: null,
  volume24hUsd: null,
});

function order(daysAgo: readonly number[], storedDaysAgo: number) {
  const storedUntil = today - storedDaysAgo * dayMs;
  return inSafeOrder(daysAgo.map(price), { today, storedUntil }).map(({ prices, refresh }) => [
    prices.map(({ time }) => Math.floor((today + dayMs - 1 - time) / dayMs)),
    refresh,
  ]);
}

describe('the order in which prices are written', () => {
  it('is one portion for prices that are older than all stored candles', () => {
    expect(order([900, 30, 2], 0)).toEqual([[[900, 30, 2], 'none']]);
  });

  it('is one portion for prices that the policy does not reach, and their candles are stored', () => {
    expect(order([900, 30, 5], 10_000)).toEqual([[[900, 30, 5], 'after']]);
  });

  it('is one portion for prices of today', () => {
    expect(order([0], 10_000)).toEqual([[[0], 'none']]);
  });

  it('writes the newest complete day by itself, between two refreshes', () => {
    expect(order([900, 30, 4, 2, 1, 0], 10_000)).toEqual([
      [[900, 30], 'none'],
      [[1, 0], 'before and after'],
      [[4, 2], 'none'],
    ]);
  });

  it('needs no refresh for days that are stored already', () => {
    expect(order([900, 4, 3], 2)).toEqual([[[900, 4, 3], 'none']]);
    expect(order([900, 3, 1], 2)).toEqual([
      [[1], 'before and after'],
      [[900, 3], 'none'],
    ]);
  });

  it('has no portion without prices, and one portion for none', () => {
    expect(order([1], 10_000)).toEqual([[[1], 'before and after']]);
    expect(order([], 10_000)).toEqual([[[], 'none']]);
  });
});

describe('the border of stored candles', () => {
  it('is the end of the newest complete day', () => {
    const state = { today, storedUntil: today - 30 * dayMs };
    expect(storedAfter([price(9), price(1), price(0)], state)).toBe(today);
    expect(storedAfter([price(40)], state)).toBe(state.storedUntil);
  });
});
