import { describe, expect, it } from 'vitest';
import {
  encodeRows,
  inBatches,
  type Row,
  RowError,
  type TargetColumn,
} from '../../src/seeding/rows.ts';

/** Columns that take text, except `doc`, which takes JSON. */
const columnsOf = (...names: readonly string[]): readonly TargetColumn[] =>
  names.map((name) => ({ name, type: { kind: name === 'doc' ? 'json' : 'text' } }));

/** The text that COPY gets for these rows, with the columns of the first. */
function encoded(rows: readonly Row[]): string {
  return encodeRows(rows, { columns: columnsOf(...Object.keys(rows[0] ?? {})), before: 0 });
}

describe('encodeRows', () => {
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
    [true, 'true'],
    [false, 'false'],
    [Number.NaN, 'NaN'],
    [new Date('2026-11-22T10:00:00.123Z'), '2026-11-22 10:00:00.123+00'],
  ])('sends the value %s as %s', (value, text) => {
    expect(encoded([{ value }])).toBe(`${text}\n`);
  });

  it.each<[unknown, string]>([
    [{ a: 'x\ny' }, '{"a":"x\\\\ny"}'],
    [['email', 'push'], '["email","push"]'],
    ['null', '"null"'],
    [null, '\\N'],
  ])('sends the value %j of a JSON column as %s', (doc, text) => {
    expect(encoded([{ doc }])).toBe(`${text}\n`);
  });

  it.each([undefined, new Date(Number.NaN), () => {}, Symbol('x')])(
    'refuses the value %s',
    (value) => {
      expect(() => encoded([{ id: 1, value }])).toThrow(RowError);
    },
  );

  it('writes the columns in the order of the first row', () => {
    expect(
      encoded([
        { a: '', b: 2 },
        { b: 4, a: 'x' },
      ]),
    ).toBe('\t2\nx\t4\n');
  });

  it('reports a row that lacks a column', () => {
    expect(() => encoded([{ a: 1, b: 2 }, { a: 3 }])).toThrow('row 2 has no "b"');
  });

  it('reports a row that has an additional column', () => {
    expect(() => encoded([{ a: 1 }, { a: 1, b: 2 }])).toThrow('row 2 has a column "b"');
  });

  it('counts the rows of earlier batches in its messages', () => {
    expect(() => encodeRows([{ a: 1 }], { columns: columnsOf('b'), before: 5_000 })).toThrow(
      'row 5001',
    );
  });
});

describe('inBatches', () => {
  it('returns batches of the requested size, and a last batch with the remaining rows', () => {
    expect([...inBatches([1, 2, 3, 4, 5], 2)]).toEqual([[1, 2], [3, 4], [5]]);
    expect([...inBatches([], 2)]).toEqual([]);
  });

  it('reads only the rows that a batch needs', () => {
    let read = 0;
    function* endless() {
      for (;;) yield { number: read++ };
    }
    const batches = inBatches(endless(), 100);
    batches.next();
    expect(read).toBe(100);
  });
});
