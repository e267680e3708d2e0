import { describe, expect, it } from 'vitest';
import { withoutVariables } from '../../src/sql/psql.ts';

describe('SQL for a file that psql reads', () => {
  it.each([
    ['select a[1:n] from t', 'select a[1: n] from t'],
    ['select a[1:\'2\'::int], a[1:"n"]', 'select a[1: \'2\'::int], a[1: "n"]'],
    ['select a[1:2]', 'select a[1: 2]'],
    ['select a[x::int:größe]', 'select a[x::int: größe]'],
    ['select 1::int, f(a:=1, b := 2)', 'select 1::int, f(a:=1, b := 2)'],
    ["select ':name', E'\\':name', \":name\"", "select ':name', E'\\':name', \":name\""],
    ['select $$:name$$, $q$ $$:name$$ $q$', 'select $$:name$$, $q$ $$:name$$ $q$'],
    [
      'select 1 -- :name\n /* :name /* :name */ */ + 1',
      'select 1 -- :name\n /* :name /* :name */ */ + 1',
    ],
    ['', ''],
  ])('has no variable of psql: %j', (text, expected) => {
    expect(withoutVariables(text)).toBe(expected);
  });
});
