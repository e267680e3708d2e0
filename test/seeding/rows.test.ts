import { describe, expect, it } from 'vitest';
import { encodeRows, inBatches, type Row, RowError, withColumns } from '../../src/seeding/rows.ts';

/** What COPY is sent for these rows, with the columns of the first. */
function encoded(rows: readonly Row[]): string {
  const columns = withColumns(rows)?.columns ?? [];
  return Buffer.concat([...encodeRows(rows, { columns, onChunk: () => {} })]).toString();
}

describe('a value', () => {
  it.each<[unknown, string]>([
    [null, '\\N'],
    ['', ''],
    ['Bitcoin', 'Bitcoin'],
    ['\\N', '\\\\N'],
    ['a\tb\nc\rd\\e', 'a\\tb\\nc\\rd\\\\e'],
    ['\b\f\v', '\\b\\f\\v'],
    ['日本 🚀', '日本 🚀'],
    [0.1, '0.1'],
    [1e-9, '1e-9'],
    [12n, '12'],
    [true, 't'],
    [false, 'f'],
    [new Date('2026-11-22T10:00:00.123Z'), '2026-11-22T10:00:00.123Z'],
    [{ a: 'x\ny' }, '{"a":"x\\\\ny"}'],
    [['email', 'push'], '["email","push"]'],
  ])('%s is sent as %s', (value, text) => {
    expect(encoded([{ value }])).toBe(`${text}\n`);
  });

  it.each([
    undefined,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    new Date(Number.NaN),
    () => {},
    Symbol('x'),
  ])('%s is refused', (value) => {
    expect(() => encoded([{ id: 1, value }])).toThrow(RowError);
  });
});

describe('a row', () => {
  it('has its columns in the order of the first, an empty one among them', () => {
    expect(
      encoded([
        { a: '', b: 2 },
        { b: 4, a: 'x' },
      ]),
    ).toBe('\t2\nx\t4\n');
  });

  it('that lacks a column is named', () => {
    expect(() => encoded([{ a: 1, b: 2 }, { a: 3 }])).toThrow('row 2 has no "b"');
  });

  it('that has one more is named', () => {
    expect(() => encoded([{ a: 1 }, { a: 1, b: 2 }])).toThrow('row 2 has a column "b"');
  });
});

it('chunks are some 64 KB, and are counted when the next is asked for', () => {
  const counts: number[] = [];
  const rows = Array.from({ length: 3_000 }, () => ({ text: 'x'.repeat(99) }));
  const chunks = [
    ...encodeRows(rows, { columns: ['text'], onChunk: (count) => counts.push(count) }),
  ];
  expect(chunks.length).toBe(5);
  expect(Math.max(...chunks.map(({ length }) => length))).toBeLessThan(66_000);
  expect(counts.reduce((sum, count) => sum + count, 0)).toBe(3_000);
});

it('rows are drawn one by one', () => {
  let drawn = 0;
  function* endless() {
    for (;;) yield { number: drawn++, text: 'x'.repeat(1_000) };
  }
  const known = withColumns(endless());
  const chunks = encodeRows(known?.rows ?? [], { columns: ['number', 'text'], onChunk: () => {} });
  chunks.next();
  chunks.next();
  expect(drawn).toBeLessThan(140);
});

it('no rows have no columns', () => {
  expect(withColumns([])).toBeUndefined();
});

it('batches are of the size that is asked for, and the last of what is left', () => {
  expect([...inBatches([1, 2, 3, 4, 5], 2)]).toEqual([[1, 2], [3, 4], [5]]);
  expect([...inBatches([], 2)]).toEqual([]);
});
