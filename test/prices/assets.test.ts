import { describe, expect, it } from 'vitest';
import { findAsset } from '../../src/prices/assets.ts';

const assets = [
  ['bitcoin', 'BTC'],
  ['hpos', 'BITCOIN'],
  ['pepe', 'PEPE'],
  ['pepe-two', 'PEPE'],
  ['long', 'A'.repeat(21)],
  ['slash', 'A\\N'],
].map(([id = '', symbol = '']) => ({ id, symbol, name: id }));

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
    ['long', 'has more than 20 characters'],
    ['slash', 'a backslash'],
  ])('%s is refused, since it %s', (word, message) => {
    expect(findAsset(assets, word)).toMatchObject({
      fault: { message: expect.stringContaining(message) },
    });
  });
});
