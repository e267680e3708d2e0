import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { quoteShellWord } from '../../src/runtime/shell-words.ts';

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
