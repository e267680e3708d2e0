import { expect, it } from 'vitest';
import {
  leadingName,
  literal,
  optionsText,
  partsOfName,
  remark,
  unquote,
  withoutVariables,
} from '../../../src/schema/script/text.ts';

it.each([
  ['plain', "'plain'"],
  ["it's", "'it''s'"],
  ['a\\b', "E'a\\\\b'"],
  ["\\'", "E'\\\\'''"],
  ['two\nlines', "'two\nlines'"],
])('the text %j is the literal %j', (text, expected) => {
  expect(literal(text)).toBe(expected);
});

it.each([
  ['public.users', 'public.users', ['public', 'users']],
  ['"a.b"."c ""d"" (x)" every 7 days', '"a.b"."c ""d"" (x)"', ['"a.b"', '"c ""d"" (x)"']],
  ['public.f(x integer)', 'public.f', ['public', 'f']],
  ['reader: SELECT', 'reader', ['reader']],
  ['größe on public.t', 'größe', ['größe']],
  ['', '', []],
])('%j begins with the name %j', (text, name, parts) => {
  expect(leadingName(text)).toBe(name);
  expect(partsOfName(name)).toEqual(parts);
});

it('a name without its quotes is what the catalog holds', () => {
  expect([unquote('plain'), unquote('"A ""b"""')]).toEqual(['plain', 'A "b"']);
});

it('options have quotes where their value is no number and no switch', () => {
  const given = ['fillfactor=70', 'check_option=local', 'security_barrier=true', 'n_distinct=-0.5'];
  expect(optionsText([...given, 'x=a=b'])).toBe(
    "fillfactor = 70, check_option = 'local', security_barrier = true, n_distinct = -0.5, x = 'a=b'",
  );
});

it('a remark is one line, also about a name with a line break', () => {
  expect(remark('table public."a\n; drop table b"')).toBe('--   table public."a ; drop table b"');
});

it.each([
  ['SELECT a[1:n]', 'SELECT a[1: n]'],
  ['SELECT a[1:"HOST"], a[x:\'1\'::int], a[:n]', 'SELECT a[1: "HOST"], a[x: \'1\'::int], a[: n]'],
  [
    "SELECT ':n'::text, \":n\", x::int, 'it''s :n'",
    "SELECT ':n'::text, \":n\", x::int, 'it''s :n'",
  ],
  ["SELECT E'\\\\'':n', a[1:n]", "SELECT E'\\\\'':n', a[1: n]"],
  ['AS $f$ a[1:n] $$ :n $f$; SELECT a[1:n]', 'AS $f$ a[1:n] $$ :n $f$; SELECT a[1: n]'],
  ["-- it's a[1:n]\nSELECT a[1:n]", "-- it's a[1:n]\nSELECT a[1: n]"],
  ['SELECT a[1:2], a[1: n]', 'SELECT a[1: 2], a[1: n]'],
])('psql finds no variable in %j', (script, expected) => {
  expect(withoutVariables(script)).toBe(expected);
  expect(withoutVariables(expected)).toBe(expected);
});
