import { describe, expect, it } from 'vitest';
import { findAsset, unknownAssets } from '../../src/prices/assets.ts';

const assets = [
  ['bitcoin', 'BTC'],
  ['hpos', 'BITCOIN'],
  ['pepe', 'PEPE'],
  ['pepe-two', 'PEPE'],
  ['long', 'A'.repeat(21)],
  ['slash', 'A\\N'],
  ['gone', 'GONE'],
  ['pepe-gone', 'PEPE'],
].map(([id = '', symbol = '']) => ({ id, symbol, name: id, isActive: !id.includes('gone') }));

describe('a word for an asset', () => {
  it.each([
    ['BTC', 'bitcoin'],
    ['btc', 'bitcoin'],
    // An id is worth more than the symbol of another asset.
    ['bitcoin', 'bitcoin'],
    ['BITCOIN', 'hpos'],
    // The hint of a symbol that several assets have.
    ['pepe', 'pepe'],
  ])('%s names the asset %s', (word, id) => {
    expect(findAsset(assets, word)).toMatchObject({ asset: { id } });
  });

  it.each([
    ['NOPE', 'is not in the table assets'],
    ['PEPE', 'is the symbol of 2 assets'],
    ['GONE', 'is not active in the table assets'],
    ['pepe-gone', 'PEPE (pepe-gone) is not active in the table assets'],
    ['long', 'has more than 20 characters'],
    ['slash', 'a backslash'],
  ])('%s is refused, since it %s', (word, message) => {
    expect(findAsset(assets, word)).toMatchObject({
      fault: { message: expect.stringContaining(message) },
    });
  });
});

it('an error lists twenty faults, and a hint of all of them once', () => {
  const faults = Array.from({ length: 25 }, (_, index) => ({
    message: `fault ${index}`,
    hint: 'h',
  }));
  const { problems } = unknownAssets(faults);
  expect(problems.map(({ message }) => message)).toEqual([
    '5 more symbols are unknown, besides:',
    ...faults.slice(0, 20).map(({ message }) => message),
  ]);
  expect(problems.flatMap(({ hint = [] }) => hint)).toEqual(['h']);
});
