import { describe, expect, it } from 'vitest';
import { excerpt, indexOfCharacter, type Location, locate, width } from '../../src/sql/location.ts';

describe('locate', () => {
  it.each([
    ['the first character', 'ab\ncd', 0, 1, 1, 'ab'],
    ['a line end, as the end of its line', 'ab\ncd', 2, 1, 3, 'ab'],
    ['the first of a line', 'ab\ncd', 3, 2, 1, 'cd'],
    ['the end of the text', 'ab\ncd', 5, 2, 3, 'cd'],
    ['the end after a line end', 'ab\n', 3, 2, 1, ''],
    ['an empty text', '', 0, 1, 1, ''],
    ['an empty line', 'a\n\nb', 2, 2, 1, ''],
    ['behind an emoji, which is one column', '🚀x', 2, 1, 2, '🚀x'],
    ['behind a letter and its accent, which are two', 'e\u0301x', 2, 1, 3, 'e\u0301x'],
    ['behind a tab, which is one', '\tx', 1, 1, 2, '\tx'],
    ['behind lines of emoji', '🚀\n🚀🚀x', 7, 2, 3, '🚀🚀x'],
  ])('%s', (_, text, index, line, column, lineText) => {
    expect(locate('f', text, index)).toEqual({ file: 'f', line, column, lineText });
  });
});

describe('indexOfCharacter', () => {
  it.each([
    ['abc', 2, 2],
    ['🚀bc', 1, 2],
    ['🚀🚀', 2, 4],
    ['aé漢', 2, 2],
    ['ab', 9, 2],
    ['', 0, 0],
  ])('%j has its character %i (from 0) at %i', (text, position, index) => {
    expect(indexOfCharacter(text, position)).toBe(index);
  });
});

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
  const at = (lineText: string, column: number, line = 7): Location => ({
    file: 'f',
    line,
    column,
    lineText,
  });

  /** What stands above the caret. */
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
    'cuts a long line so that its character %i is seen',
    (column) => {
      const line = `${'·'.repeat(column - 1)}X${'·'.repeat(200 - column)}`;
      const shown = excerpt(at(line, column));
      expect(pointed(shown)).toBe('X');
      expect(width(shown[0])).toBeLessThanOrEqual(80);
    },
  );

  it('cuts a long line of emoji between characters, and points past its end', () => {
    const [shown, caret] = excerpt(at('🚀'.repeat(200), 201));
    expect(shown).not.toMatch(/[\ud800-\udbff](?![\udc00-\udfff])/);
    expect(caret.length - 1).toBe(width(shown));
  });

  it('names the line', () => {
    expect(excerpt(at('x', 1, 1204))).toEqual(['1204 | x', '       ^']);
  });
});
