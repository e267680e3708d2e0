import { Chalk } from 'chalk';
import { describe, expect, it } from 'vitest';
import type { ImportResult } from '../../src/prices/import.ts';
import { renderCandles, renderImport, renderPriceStatus } from '../../src/ui/prices.ts';

const plain = { chalk: new Chalk({ level: 0 }), columns: 80 };

const imported: ImportResult = {
  target: 'localhost/crypto',
  source: 'files',
  interval: undefined,
  isDryRun: false,
  range: undefined,
  assets: [],
  files: { unread: ['a.csv'], finished: [], inOtherCurrency: [] },
  requests: 0,
  estimatedMs: 0,
  rows: 1,
  filesWithoutPrices: [],
  leftOutPrices: { tooOld: 0, inFuture: 0, ofSameMoment: 0 },
  misfits: [],
  leftOut: [],
  unknownToSource: [],
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

it('an import counts prices of files that are left out', () => {
  const leftOutPrices = { tooOld: 2, inFuture: 1, ofSameMoment: 3 };
  expect(renderImport({ ...imported, leftOutPrices }, plain)).toContain(
    [
      'note: 2 prices left out: older than the retention policy keeps',
      'note: 1 price left out: of the future; the next import reads the file again',
      'note: 3 prices left out: of the same asset and millisecond as the price before',
      '',
    ].join('\n'),
  );
});

it('an import names files that are left out, three at most', () => {
  const inOtherCurrency = ['ADAETH_60.csv', 'ETHEUR_60.csv', 'SOLEUR_60.csv', 'XBTEUR_60.csv'];
  const files = { ...imported.files, inOtherCurrency };
  expect(renderImport({ ...imported, files }, plain)).toContain(
    'note: 4 files left out, of a pair that is not in dollars or not in that of --quote: ADAETH_60.csv, ETHEUR_60.csv, SOLEUR_60.csv, …\n',
  );
});

it('a plan names few months with their prices, and counts many', () => {
  const months = (count: number) =>
    Array.from({ length: count }, (_, index) => ({ month: `2024-0${index + 1}`, missing: 31 }));
  const asset = (symbol: string, count: number) => ({
    symbol,
    id: symbol.toLowerCase(),
    months: months(count),
    missing: 1,
    requests: 1,
  });
  const text = renderImport(
    {
      ...imported,
      source: 'binance',
      isDryRun: true,
      assets: [asset('BTC', 2), asset('ETH', 9)],
      files: { ...imported.files, unread: [] },
    },
    plain,
  );
  expect(text).toMatch(/BTC +btc +2024-01 \(31\), 2024-02 \(31\) +1 +1\n/);
  expect(text).toMatch(/ETH +eth +9 from 2024-01 to 2024-09 +1 +1\n/);
});

describe('the status of prices', () => {
  it('counts an asset with daily and hourly prices once, and says how to store candles', () => {
    const line = (symbol: string, interval: 'daily' | 'hourly', candlesMissing: number) => ({
      symbol,
      interval,
      first: new Date(0),
      last: new Date(0),
      rows: 5,
      gaps: 0,
      months: [],
      candlesMissing,
    });
    const status = {
      target: 'localhost/crypto',
      withoutPrices: [],
      owed: undefined,
      arePoliciesPaused: false,
      isComplete: false,
    };
    const render = (missing: number) => {
      const assets = [line('BTC', 'daily', missing), line('BTC', 'hourly', missing)];
      return renderPriceStatus({ ...status, assets }, plain);
    };
    expect(render(0)).toContain('\n1 asset, 10 prices in localhost/crypto');
    expect(render(0)).not.toContain('missing');
    expect(render(2)).toContain(
      "\n4 candles missing; this SQL stores them: call refresh_continuous_aggregate('price_history_daily', '1970-01-01', date_trunc('day', now(), 'UTC'));\n",
    );
  });

  it('names the coins without a price', () => {
    const nothing = {
      target: 'localhost/crypto',
      assets: [],
      owed: undefined,
      arePoliciesPaused: false,
      isComplete: false,
    };
    expect(renderPriceStatus({ ...nothing, withoutPrices: [] }, plain)).toBe(
      'no prices in localhost/crypto\n',
    );
    expect(renderPriceStatus({ ...nothing, withoutPrices: ['ETH', 'NOPE'] }, plain)).toBe(
      'no prices of ETH, NOPE in localhost/crypto\n',
    );
  });
});

describe('drawn candles', () => {
  const draw = (prices: readonly number[]) => {
    const candles = prices.map((price, index) => ({
      day: new Date(Date.UTC(2026, 0, 1 + index)),
      open: String(price),
      high: String(price * 1.01),
      low: String(price * 0.99),
      close: String(price),
    }));
    return renderCandles({ symbol: 'BTC', target: '', candles }, plain).split('\n');
  };
  const rising = (count: number, first: number) =>
    Array.from({ length: count }, (_, index) => first * (1 + index / 100));

  it.each([
    [30, 1],
    [90, 1],
    [90, 123_456_789_012],
    [90, 0.0000001234],
    [1_825, 40_000],
  ])(
    'of %i days fit the terminal with prices from %d, and their labels one column',
    (days, first) => {
      const lines = draw(rising(days, first));
      const chart = lines.slice(lines.indexOf('') + 1, -1);
      expect(chart).toHaveLength(16);
      for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
      const ends = chart
        .filter((line) => /^ *[\d.,]/.test(line))
        .map((line) => /\d {2}/.exec(line)?.index);
      expect(ends).toHaveLength(4);
      expect(new Set(ends).size).toBe(1);
    },
  );

  it('of more days than columns are joined, and the change is that of all days', () => {
    const [head, note] = draw(rising(101, 100));
    expect(head).toBe('BTC in USD, 2026-01-01 to 2026-04-11: 200 (+100.0%)');
    expect(note).toBe('a column is 2 days');
  });

  it('of a price that stays the same are in the middle', () => {
    const candle = { open: '100', high: '100', low: '100', close: '100', day: new Date(0) };
    const text = renderCandles({ symbol: 'BTC', target: '', candles: [candle] }, plain);
    const lines = text.split('\n').slice(2, -1);
    expect(lines[0]).toBe('   101');
    expect(lines.at(-1)).toBe('    99');
    expect(lines.findIndex((line) => line.includes('█'))).toBe(7);
  });
});
