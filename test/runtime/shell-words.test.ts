import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { quoteShellWord, splitShellWords } from '../../src/runtime/shell-words.ts';

it.each(['prices', 'a.sql', '/srv/db/2026-11/a_b:c,d@e%f+g'])(
  'the word %s gets no quotes',
  (word) => {
    expect(quoteShellWord(word)).toBe(word);
  },
);

it('a shell reads each quoted text as one word', () => {
  const texts = [
    '',
    ' ',
    "it's",
    'a b',
    '$HOME',
    '~',
    '*',
    '`id`',
    '"',
    '\\',
    '!',
    'a\nb',
    "''",
    'é',
  ];
  const script = `for word in ${texts.map(quoteShellWord).join(' ')}; do printf '%s\\0' "$word"; done`;
  const words = execFileSync('sh', ['-c', script], { encoding: 'utf8' }).split('\0').slice(0, -1);
  expect(words).toEqual(texts);
});

describe('splitShellWords', () => {
  it.each([
    ['', []],
    ['  a   b\t"c d"\n', ['a', 'b', 'c d']],
    [`'a b'c"d e"`, ['a bcd e']],
    [`'' ""`, ['', '']],
    ['a\\ b "c\\"d" \'e\\\'', ['a b', 'c"d', 'e\\']],
    ['$HOME `id` $(id) *', ['$HOME', '`id`', '$(id)', '*']],
    ["'open", undefined],
    ['a "open', undefined],
    ['end\\', undefined],
  ])('splits %j into %j', (text, words) => {
    expect(splitShellWords(text)).toEqual(words);
  });
});
