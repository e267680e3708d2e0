import { expect, it } from 'vitest';
import {
  codeBlock,
  inlineCode,
  linkTo,
  markdownTable,
  plainText,
} from '../../../src/schema/dictionary/markdown.ts';

it.each([
  ['a pipe | and a \\ backslash', 'a pipe \\| and a \\\\ backslash'],
  ['one\r\ntwo\n\n three', 'one<br>two<br>three'],
  ['<script>alert(1)</script> & <b>', '&lt;script&gt;alert(1)&lt;/script&gt; &amp; &lt;b&gt;'],
  ['`code`, *stars*, [a](b), ~x~', '\\`code\\`, \\*stars\\*, \\[a\\](b), \\~x\\~'],
  ['_emphasis_ and asset_symbol', '\\_emphasis\\_ and asset_symbol'],
  ['# heading', '\\# heading'],
  ['- item', '\\- item'],
  ['1. item', '1\\. item'],
  ['a\u0007b', 'a b'],
])('writes %j as text', (text, expected) => {
  expect(plainText(text)).toBe(expected);
});

it.each([
  ["'a' || 'b'", "`'a' \\|\\| 'b'`"],
  ['a\n  b', '`a b`'],
  ['a ` b', '``a ` b``'],
  ['`', '`` ` ``'],
  ['', ''],
])('writes %j as code', (text, expected) => {
  expect(inlineCode(text)).toBe(expected);
});

it('fences code that has fences', () => {
  expect(codeBlock('sql', 'select 1\n')).toBe('```sql\nselect 1\n```');
  expect(codeBlock('sql', "select '```'")).toBe("````sql\nselect '```'\n````");
});

it('leaves out the columns of a table that are empty', () => {
  expect(
    markdownTable(
      ['a', 'b', 'c'],
      [
        ['1', '', ''],
        ['2', '', '3'],
      ],
    ),
  ).toBe('| a | c |\n| --- | --- |\n| 1 |  |\n| 2 | 3 |');
});

it('links to files of any name', () => {
  expect(linkTo('Größe (a]', 'Größe_(a.md')).toBe('[Größe (a\\]](Gr%C3%B6%C3%9Fe_%28a.md)');
});
