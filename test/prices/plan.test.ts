import { describe, expect, it } from 'vitest';
import {
  findMissing,
  type ImportedMonth,
  joinMonths,
  type Presence,
} from '../../src/prices/plan.ts';

const bitcoin = { id: 'bitcoin', symbol: 'BTC', name: 'Bitcoin' };
const ether = { id: 'ethereum', symbol: 'ETH', name: 'Ethereum' };
const at = (text: string) => Date.parse(`${text}Z`);
const january = at('2024-01-01T00:00');
const request = {
  interval: 'daily',
  range: { from: at('2024-01-10T00:00'), to: at('2024-03-05T12:00') },
} as const;

const present = (month: string, slots: number, symbol = 'BTC'): Presence => ({
  symbol,
  month: at(`${month}-01T00:00`),
  slots,
});
const imported = (from: string, to: string, slots: number): ImportedMonth => ({
  symbol: 'BTC',
  month: at(`${from.slice(0, 7)}-01T00:00`),
  range: { from: at(from), to: at(to) },
  slots,
});

function missing(presences: readonly Presence[], records: readonly ImportedMonth[] = []) {
  const found = findMissing([bitcoin], request, { presences, imported: records });
  return found.flatMap(({ months }) =>
    months.map(({ range }) =>
      [range.from, range.to].map((each) => new Date(each).toISOString().slice(0, 13)),
    ),
  );
}

describe('the missing months', () => {
  it('are all months of an empty database, cut to the range', () => {
    expect(missing([])).toEqual([
      ['2024-01-10T00', '2024-02-01T00'],
      ['2024-02-01T00', '2024-03-01T00'],
      ['2024-03-01T00', '2024-03-05T12'],
    ]);
  });

  it('leave out a month in which every day has a price', () => {
    // The 5th of March has begun, and has its price.
    expect(
      missing([present('2024-01', 22), present('2024-02', 29), present('2024-03', 5)]),
    ).toEqual([]);
    expect(
      missing([present('2024-01', 21), present('2024-02', 29), present('2024-03', 5)]),
    ).toEqual([['2024-01-10T00', '2024-02-01T00']]);
  });

  it('leave out what the source has been asked for, although it lacks prices', () => {
    const february = imported('2024-02-01T00:00', '2024-03-01T00:00', 27);
    expect(
      missing([present('2024-01', 22), present('2024-02', 27), present('2024-03', 5)], [february]),
    ).toEqual([]);
  });

  it('include a month again when rows of it were deleted after its import', () => {
    const february = imported('2024-02-01T00:00', '2024-03-01T00:00', 29);
    const presences = [present('2024-01', 22), present('2024-02', 12), present('2024-03', 5)];
    expect(missing(presences, [february])).toEqual([['2024-02-01T00', '2024-03-01T00']]);
  });

  it('begin where an import of the current month has ended', () => {
    const march = imported('2024-03-01T00:00', '2024-03-03T00:00', 2);
    const presences = [present('2024-01', 22), present('2024-02', 29), present('2024-03', 2)];
    expect(missing(presences, [march])).toEqual([['2024-03-03T00', '2024-03-05T12']]);
  });

  it('include the start of a month that an import has read in part', () => {
    const part = imported('2024-01-20T00:00', '2024-02-01T00:00', 12);
    const presences = [present('2024-01', 12), present('2024-02', 29), present('2024-03', 5)];
    expect(missing(presences, [part])).toEqual([['2024-01-10T00', '2024-02-01T00']]);
  });

  it('are found for each asset alone', () => {
    const presences = [present('2024-01', 22), present('2024-02', 29), present('2024-03', 5)];
    const found = findMissing([bitcoin, ether], request, { presences, imported: [] });
    expect(found.map(({ asset }) => asset.symbol)).toEqual(['ETH']);
  });
});

describe('joined months', () => {
  it('are one range where they follow each other', () => {
    const range = (from: string, to: string) => ({ from: at(from), to: at(to) });
    const months = [
      range('2024-01-10T00:00', '2024-02-01T00:00'),
      range('2024-02-01T00:00', '2024-03-01T00:00'),
      range('2024-04-01T00:00', '2024-05-01T00:00'),
    ].map((each) => ({
      month: january,
      range: each,
      readFrom: each.from,
      present: 0,
      expected: 1,
    }));
    expect(joinMonths(months)).toEqual([
      range('2024-01-10T00:00', '2024-03-01T00:00'),
      range('2024-04-01T00:00', '2024-05-01T00:00'),
    ]);
  });
});
