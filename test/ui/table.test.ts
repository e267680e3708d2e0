import { Chalk } from 'chalk';
import { describe, expect, it } from 'vitest';
import { width } from '../../src/runtime/excerpt.ts';
import { renderTable, type Table } from '../../src/ui/table.ts';

const look = { chalk: new Chalk({ level: 0 }), columns: undefined };
/** The lines of a table without a head. */
const linesOf = (table: Omit<Table, 'head'>, columns?: number) =>
  renderTable({ head: table.rows[0]?.map(() => '') ?? [], ...table }, { ...look, columns }).slice(
    1,
  );

describe('renderTable', () => {
  it('separates columns by two spaces, makes them as wide as their widest cell, and adds no space at the end', () => {
    const head = ['a', 'long head', 'c'];
    const rows = [
      ['1', '2', '3'],
      ['wide cell', '', ''],
    ];
    expect(renderTable({ head, rows, flexible: [] }, look)).toEqual([
      'a          long head  c',
      '1          2          3',
      'wide cell',
    ]);
  });

  it('aligns a column and its header to the right when asked to', () => {
    const rows = [['1 ms'], ['100 ms']];
    expect(renderTable({ head: ['took'], rows, right: [0], flexible: [] }, look)).toEqual([
      '  took',
      '  1 ms',
      '100 ms',
    ]);
  });

  it('measures text in columns of the terminal, not in characters', () => {
    const rows = ['漢字', '🚀', 'e\u0301', 'ab'].map((text) => [text, 'x']);
    expect(linesOf({ rows, flexible: [] }).map(width)).toEqual([7, 7, 7, 7]);
  });

  it('colours a cell after it cuts and pads the cell, so that colour changes no width', () => {
    const paint = (text: string) => `<${text}>`;
    const rows = [[{ text: 'a rather long text', paint }, 'x']];
    expect(linesOf({ rows, flexible: [0] }, 15)).toEqual(['<a rather lo…>  x']);
  });

  it.each([
    [50, 50],
    [40, 40],
    [36, 36],
    // No column shrinks below twelve.
    [30, 35],
    [1, 35],
  ])('uses on a terminal of %i columns at most %i columns', (columns, atMost) => {
    const head = ['fixed', 'first', 'second'];
    const rows = [['1234567', 'x'.repeat(30), '漢'.repeat(15)]];
    const lines = renderTable({ head, rows, flexible: [1, 2] }, { ...look, columns });
    expect(Math.max(...lines.map(width))).toBeLessThanOrEqual(atMost);
    expect(lines[1]).toContain('1234567  ');
  });

  it('leaves out an optional column only when the flexible columns cannot shrink enough', () => {
    const head = ['fixed', 'flexible', 'optional'];
    const rows = [['1234567', 'x'.repeat(16), 'y'.repeat(9)]];
    const at = (columns: number) =>
      renderTable({ head, rows, flexible: [1], optional: [2] }, { ...look, columns });
    expect(at(32)).toEqual(['fixed    flexible      optional', '1234567  xxxxxxxxxxx…  yyyyyyyyy']);
    expect(at(31)).toEqual(['fixed    flexible', '1234567  xxxxxxxxxxxxxxxx']);
  });

  it('shrinks the first flexible column to its minimum before the second', () => {
    const rows = [['x'.repeat(20), 'y'.repeat(20)]];
    const at = (columns: number) => linesOf({ rows, flexible: [0, 1] }, columns);
    expect(at(42)).toEqual([`${'x'.repeat(20)}  ${'y'.repeat(20)}`]);
    expect(at(35)).toEqual([`${'x'.repeat(12)}…  ${'y'.repeat(20)}`]);
    expect(at(30)).toEqual([`${'x'.repeat(11)}…  ${'y'.repeat(15)}…`]);
  });
});
