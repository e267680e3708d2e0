import { describe, expect, it } from 'vitest';
import { width } from '../../src/runtime/excerpt.ts';
import { type Cell, renderTable } from '../../src/ui/table.ts';

const row = (...texts: readonly string[]): readonly Cell[] => texts.map((text) => ({ text }));

describe('renderTable', () => {
  it('sets columns two spaces apart, as wide as their widest cell, and nothing at the end', () => {
    const head = row('a', 'long head', 'c');
    const rows = [row('1', '2', '3'), row('wide cell', '', '')];
    expect(renderTable({ head, rows, flexible: [], columns: undefined })).toEqual([
      'a          long head  c',
      '1          2          3',
      'wide cell',
    ]);
  });

  it('aligns to the right on demand', () => {
    const cell = (text: string): Cell => ({ text, align: 'right' });
    const rows = [[cell('1 ms')], [cell('100 ms')]];
    expect(renderTable({ head: row('took'), rows, flexible: [], columns: undefined })).toEqual([
      'took',
      '  1 ms',
      '100 ms',
    ]);
  });

  it('counts columns of the terminal, not characters', () => {
    const rows = [row('漢字', 'x'), row('🚀', 'x'), row('e\u0301', 'x'), row('ab', 'x')];
    const lines = renderTable({ head: row('', ''), rows, flexible: [], columns: undefined });
    expect(lines.slice(1).map((line) => width(line))).toEqual([7, 7, 7, 7]);
  });

  it('paints what is cut and padded, so that colour changes no width', () => {
    const paint = (text: string) => `<${text}>`;
    const rows = [[{ text: 'a rather long text', paint }, { text: 'x' }]];
    expect(renderTable({ head: row('', ''), rows, flexible: [0], columns: 14 })[1]).toBe(
      '<a rather l…>  x',
    );
  });

  it.each([
    [50, 50],
    [40, 40],
    [30, 30],
    // No column gives way below eight.
    [26, 27],
    [1, 27],
  ])('with %i columns takes at most %i', (columns, atMost) => {
    const head = row('fixed', 'first', 'second');
    const rows = [row('1234567', 'x'.repeat(30), '漢'.repeat(15))];
    const lines = renderTable({ head, rows, flexible: [1, 2], columns });
    expect(Math.max(...lines.map(width))).toBeLessThanOrEqual(atMost);
    expect(lines[1]).toContain('1234567  ');
  });

  it('the first that gives way gives all it can before the second does', () => {
    const head = row('', '');
    const rows = [row('x'.repeat(20), 'y'.repeat(20))];
    const at = (columns: number) => renderTable({ head, rows, flexible: [0, 1], columns })[1];
    expect(at(42)).toBe(`${'x'.repeat(20)}  ${'y'.repeat(20)}`);
    expect(at(35)).toBe(`${'x'.repeat(12)}…  ${'y'.repeat(20)}`);
    expect(at(25)).toBe(`${'x'.repeat(7)}…  ${'y'.repeat(14)}…`);
  });
});
