import { describe, expect, it } from 'vitest';
import {
  type AskedRange,
  findMissing,
  joinMonths,
  type Presence,
  settledRange,
  widen,
} from '../../src/prices/plan.ts';

const bitcoin = { id: 'bitcoin', symbol: 'BTC', name: 'Bitcoin' };
const ether = { id: 'ethereum', symbol: 'ETH', name: 'Ethereum' };
const at = (text: string) => Date.parse(`${text.length === 10 ? `${text}T00:00` : text}Z`);
const range = (from: string, to: string) => ({ from: at(from), to: at(to) });
const shown = (each: { readonly from: number; readonly to: number }) =>
  [each.from, each.to].map((time) => new Date(time).toISOString().slice(0, 10));

const present = (from: string, to: string): Presence => ({ symbol: 'BTC', ...range(from, to) });
const asked = (from: string, to: string, slots: number): AskedRange => ({
  symbol: 'BTC',
  ...range(from, to),
  slots,
});

function missing(
  presences: readonly Presence[],
  records: readonly AskedRange[] = [],
  { from, to } = { from: '2024-01-10', to: '2024-03-06' },
) {
  const request = { interval: 'daily', range: range(from, to) } as const;
  const found = findMissing([bitcoin], request, { presences, asked: records });
  return found.flatMap(({ months }) => months.map((month) => shown(month.range)));
}

describe('the missing months', () => {
  it('are all months of an empty database, cut to the range', () => {
    expect(missing([])).toEqual([
      ['2024-01-10', '2024-02-01'],
      ['2024-02-01', '2024-03-01'],
      ['2024-03-01', '2024-03-06'],
    ]);
  });

  it('leave out a month in which every day has a price', () => {
    expect(missing([present('2024-01-01', '2024-03-06')])).toEqual([]);
    expect(
      missing([present('2024-01-01', '2024-01-31'), present('2024-02-01', '2024-03-06')]),
    ).toEqual([['2024-01-10', '2024-02-01']]);
  });

  const gap = [present('2024-02-01', '2024-02-12'), present('2024-02-15', '2024-03-01')];
  const february = asked('2024-02-01', '2024-03-01', 26);

  it.each([
    ['the month', '2024-02-01', '2024-03-01'],
    ['a part of the month', '2024-02-10', '2024-02-20'],
    ['a part that begins in the gap', '2024-02-13', '2024-03-01'],
  ])('leave out days that the source does not have, in an import of %s', (_, from, to) => {
    expect(missing(gap, [february], { from, to })).toEqual([]);
    // The records of a part, before or after that of the month, change nothing.
    const part = asked('2024-02-10', '2024-02-20', 7);
    expect(missing(gap, [february, part], { from, to })).toEqual([]);
    expect(missing(gap, [part, february], { from, to })).toEqual([]);
  });

  it('leave out what two imports have asked for together', () => {
    const parts = [asked('2024-02-01', '2024-02-14', 11), asked('2024-02-13', '2024-03-01', 15)];
    const month = { from: '2024-02-01', to: '2024-03-01' };
    expect(missing(gap, parts, month)).toEqual([]);
    expect(missing(gap, parts.slice(1), month)).toEqual([['2024-02-01', '2024-02-13']]);
  });

  it('include what a record covers again when rows of it were deleted', () => {
    const month = { from: '2024-02-01', to: '2024-03-01' };
    expect(missing(gap.slice(0, 1), [february], month)).toEqual([['2024-02-01', '2024-03-01']]);
  });

  it('begin where an import of the current month has ended', () => {
    const march = asked('2024-03-01', '2024-03-03', 2);
    expect(missing([present('2024-01-01', '2024-03-03')], [march])).toEqual([
      ['2024-03-03', '2024-03-06'],
    ]);
  });

  it('end where an import of the end of a month has begun', () => {
    const end = asked('2024-01-20', '2024-02-01', 12);
    expect(missing([present('2024-01-20', '2024-03-06')], [end])).toEqual([
      ['2024-01-10', '2024-01-20'],
    ]);
  });

  it('are found for each asset alone', () => {
    const found = findMissing(
      [bitcoin, ether],
      { interval: 'daily', range: range('2024-01-10', '2024-03-06') },
      { presences: [present('2024-01-01', '2024-03-06')], asked: [] },
    );
    expect(found.map(({ asset }) => asset.symbol)).toEqual(['ETH']);
  });
});

describe('what a source need not be asked for again', () => {
  const settled = (days: readonly string[], from = '2024-03-01') => {
    const prices = days.map((day) => ({ time: at(`2024-03-${day}`) }));
    const found = settledRange(range(from, '2024-03-20'), prices, {
      newest: at('2024-03-20'),
      interval: 'daily',
    });
    return found && shown(found);
  };

  it.each([
    ['every day of the last week has come', ['13', '14', '15', '16', '17', '18', '19'], '20'],
    ['the newest days have not come', ['13', '14', '15', '16'], '17'],
    ['an older day of the last week has not come', ['13', '14', '16', '17', '18', '19'], '15'],
    ['nothing has come', [], '13'],
  ])('ends at the first day that may still come, when %s', (_, days, end) => {
    expect(settled(days)).toEqual(['2024-03-01', `2024-03-${end}`]);
  });

  it('is nothing when the first day may still come', () => {
    expect(settled([], '2024-03-15')).toBeUndefined();
  });

  it('is one with what was asked for before and after it', () => {
    const asked = [
      range('2024-03-01', '2024-03-05'),
      range('2024-03-05', '2024-03-08'),
      range('2024-03-12', '2024-03-20'),
    ];
    expect(shown(widen(range('2024-03-08', '2024-03-10'), asked))).toEqual([
      '2024-03-01',
      '2024-03-10',
    ]);
    expect(shown(widen(range('2024-03-09', '2024-03-12'), asked))).toEqual([
      '2024-03-09',
      '2024-03-20',
    ]);
  });
});

describe('joined months', () => {
  it('are one range where they follow each other', () => {
    const months = [
      range('2024-01-10T00:00', '2024-02-01T00:00'),
      range('2024-02-01T00:00', '2024-03-01T00:00'),
      range('2024-04-01T00:00', '2024-05-01T00:00'),
    ].map((each) => ({
      month: each.from,
      range: each,
      asked: [],
      present: 0,
      expected: 1,
    }));
    expect(joinMonths(months)).toEqual([
      range('2024-01-10T00:00', '2024-03-01T00:00'),
      range('2024-04-01T00:00', '2024-05-01T00:00'),
    ]);
  });
});
