import { describe, expect, it } from 'vitest';
import { fitPrice } from '../../src/prices/fit.ts';

const price = { symbol: 'BTC', time: 0, priceUsd: '1', marketCapUsd: null, volume24hUsd: null };

describe('a price that is to be stored', () => {
  it.each([
    ['1', []],
    ['999999999999.99', []],
    ['0.00001', []],
    ['0.00000999', ['price keeps few digits']],
    ['1e-8', ['price keeps few digits']],
  ])('stays as %s and has the remarks %j', (priceUsd, misfits) => {
    const given = { ...price, priceUsd };
    expect(fitPrice(given)).toEqual({ fitted: given, misfits });
  });

  it.each([
    ['1000000000000', 'price too large'],
    ['0', 'price is zero'],
    ['0.000000001', 'price is zero'],
    ['-1', 'price is negative'],
  ])('is left out as %s with the remark "%s"', (priceUsd, misfit) => {
    expect(fitPrice({ ...price, priceUsd })).toEqual({ fitted: undefined, misfits: [misfit] });
  });

  it.each(['1e18', '-1'])('loses a market capitalization or volume of %s', (marketCapUsd) => {
    const given = { ...price, marketCapUsd, volume24hUsd: '5' };
    expect(fitPrice(given)).toEqual({
      fitted: { ...given, marketCapUsd: null },
      misfits: ['figure out of range'],
    });
  });
});
