import { describe, expect, it } from 'vitest';
import { excerpt, width } from '../../src/runtime/excerpt.ts';

describe('width', () => {
  it.each([
    ['abc', 3],
    ['', 0],
    ['é', 1],
    ['e\u0301', 1],
    ['漢字', 4],
    ['かな', 4],
    ['한글', 4],
    ['🚀', 2],
    ['… –', 3],
  ])('%j takes %i columns', (text, columns) => {
    expect(width(text)).toBe(columns);
  });
});

describe('excerpt', () => {
  const at = (lineText: string, column: number, line = 7) => ({ line, column, lineText });

  /** The character above the caret. */
  function pointed([shown, caret]: readonly [string, string]): string {
    let columns = 0;
    for (const character of shown) {
      if (columns >= caret.length - 1) return character;
      columns += width(character);
    }
    return '';
  }

  it.each([
    ['the first character', 'select', 1, 's'],
    ['one in the middle', 'select', 4, 'e'],
    ['the end of the line', 'select', 7, ''],
    ['one behind tabs', '\t\tselect', 3, 's'],
    ['one behind emoji', "'🚀🚀' x", 6, 'x'],
    ['one behind wide characters', "'漢字' x", 6, 'x'],
    ['one behind an accent of its own', "'e\u0301' x", 6, 'x'],
  ])('points at %s', (_, line, column, character) => {
    expect(pointed(excerpt(at(line, column)))).toBe(character);
  });

  it.each([1, 30, 36, 37, 38, 72, 73, 100, 164, 165, 200])(
    'cuts a long line and keeps its character %i',
    (column) => {
      const line = `${'·'.repeat(column - 1)}X${'·'.repeat(200 - column)}`;
      const shown = excerpt(at(line, column));
      expect(pointed(shown)).toBe('X');
      expect(width(shown[0])).toBeLessThanOrEqual(80);
    },
  );

  it('cuts a long line of emoji between characters, with the caret after the end of the line', () => {
    const [shown, caret] = excerpt(at('🚀'.repeat(200), 201));
    expect(shown).not.toMatch(/[\ud800-\udbff](?![\udc00-\udfff])/);
    expect(caret.length - 1).toBe(width(shown));
  });

  it('starts with the line number', () => {
    expect(excerpt(at('x', 1, 1204))).toEqual(['1204 | x', '       ^']);
  });
});
