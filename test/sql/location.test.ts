import { describe, expect, it } from 'vitest';
import { indexOfCharacter, locate } from '../../src/sql/location.ts';

describe('locate', () => {
  it.each([
    ['the first character', 'ab\ncd', 0, 1, 1, 'ab'],
    ['a line end, as the end of its line', 'ab\ncd', 2, 1, 3, 'ab'],
    ['the first character of a line', 'ab\ncd', 3, 2, 1, 'cd'],
    ['the end of the text', 'ab\ncd', 5, 2, 3, 'cd'],
    ['the end after a line end', 'ab\n', 3, 2, 1, ''],
    ['the start of an empty text', '', 0, 1, 1, ''],
    ['an empty line', 'a\n\nb', 2, 2, 1, ''],
    ['a character after an emoji, which is one column', '🚀x', 2, 1, 2, '🚀x'],
    [
      'a character after a letter and its accent, which are two columns',
      'e\u0301x',
      2,
      1,
      3,
      'e\u0301x',
    ],
    ['a character after a tab, which is one column', '\tx', 1, 1, 2, '\tx'],
    ['a character after lines of emoji', '🚀\n🚀🚀x', 7, 2, 3, '🚀🚀x'],
  ])('returns the place of %s', (_, text, index, line, column, lineText) => {
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
  ])('returns for %j and character %i, counted from 0, the index %i', (text, position, index) => {
    expect(indexOfCharacter(text, position)).toBe(index);
  });
});
