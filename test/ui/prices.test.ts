import { Chalk } from 'chalk';
import { describe, expect, it } from 'vitest';
import type { ImportResult } from '../../src/prices/import.ts';
import { renderImport, renderPriceStatus } from '../../src/ui/prices.ts';

const plain = { chalk: new Chalk({ level: 0 }), columns: 80 };

const imported: ImportResult = {
  target: 'localhost/crypto',
  source: 'files',
  interval: undefined,
  isDryRun: false,
  range: undefined,
  assets: [],
  files: { unread: ['a.csv'], finished: [] },
  requests: 0,
  estimatedMs: 0,
  rows: 1,
  misfits: [],
  leftOut: [],
  beyondRetention: undefined,
  candles: undefined,
  compressedChunks: 0,
  durationMs: 12,
};

describe('an import', () => {
  it('counts one price and several that the columns cannot hold', () => {
    const misfits = [
      { symbol: 'BTC', kind: 'price is negative', rows: 1 },
      { symbol: 'ETH', kind: 'price too large', rows: 1_200 },
    ] as const;
    expect(renderImport({ ...imported, misfits }, plain)).toBe(
      [
        'note: BTC: 1 price left out: below zero',
        'note: ETH: 1,200 prices left out: too large for the column',
        '1 price imported in localhost/crypto, 12 ms',
        '',
      ].join('\n'),
    );
  });
});

describe('the status of prices', () => {
  it('names the coins without a price', () => {
    const nothing = { target: 'localhost/crypto', assets: [], owed: undefined, isComplete: false };
    expect(renderPriceStatus({ ...nothing, withoutPrices: [] }, plain)).toBe(
      'no prices in localhost/crypto\n',
    );
    expect(renderPriceStatus({ ...nothing, withoutPrices: ['ETH', 'NOPE'] }, plain)).toBe(
      'no prices of ETH, NOPE in localhost/crypto\n',
    );
  });
});
