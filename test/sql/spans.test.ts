import { describe, expect, it } from 'vitest';
import { statementSpans } from '../../src/sql/spans.ts';

/** The statements, with blanks at their ends taken off. */
function split(text: string): readonly string[] {
  return [...statementSpans(text)].map(({ from, to }) => text.slice(from, to).trim());
}

describe('a semicolon', () => {
  it.each([
    'select 1',
    "select ';', 'it'';', 'a\\'",
    "select E'it\\';', e'\\\\', E''';'",
    'select 1 as ";", 2 as "a"";"',
    'select $$;$$, $a$;$$;$a$, $é$;$é$',
    'select a$b$c, 1 -- ;',
    'select 1 /* ; /* ; */ ; */ + 1',
    'create rule r as on insert to t do also (select 1; select 2)',
    'create function f() returns int language sql begin atomic select 1; select case when true then 1 end; end',
    'create or replace procedure p() begin atomic select 1; end',
    'select begin from t',
    'select U&"d\\0061;", n\';\'',
    '/* é🚀; */ select 1',
  ])('ends %s only after it', (statement) => {
    expect(split(`${statement}\n; select 2`)).toEqual([statement, 'select 2']);
  });

  it.each(["select 'open; select 2", 'select "open; x', 'select $$open; x', '/* open; x'])(
    'does not end a text that ends inside of it: %s',
    (text) => {
      expect(split(text)).toEqual([text]);
    },
  );
});

describe('what the grammar can do without', () => {
  const pieceLength = 20;

  /** The omitted parts, and the rows that remain to be parsed. */
  function omitted(text: string) {
    const spans = [...statementSpans(text, { pieceLength })];
    return spans.flatMap(({ omissions }) =>
      omissions.map(({ from, to, rows }) => ({
        part: text.slice(from, to),
        rows: rows.map((row) => text.slice(row.from, row.to)),
      })),
    );
  }
  const long = 'x'.repeat(30);

  it.each<[string, ...ReturnType<typeof omitted>]>([
    [`select 'short', '${long}', 1`, { part: long, rows: [] }],
    [`select E'${long}', "${long}", $$${long}$$`],
    [`select '${long}`],
    ['insert into t values (1), (2), (3)'],
    [
      "values (1, 'é'), (-2.5e3, NULL), (default, 'it''s') order by 1",
      { part: ", (-2.5e3, NULL), (default, 'it''s')", rows: [] },
    ],
    [
      `insert into t values (1), (f(2)), (3), (4), ('${long}'), (5)`,
      { part: `, (f(2)), (3), (4), ('${long}'), (5)`, rows: [` (f(2)), (3), (4), ('${long}')`] },
    ],
    [
      "select * from (values (1), (2 frm), ('a' 'b', 3), (E'c'), (4)) v",
      {
        part: ", (2 frm), ('a' 'b', 3), (E'c'), (4)",
        rows: [" (2 frm), ('a' 'b', 3)", " (E'c'), (4)"],
      },
    ],
    [`insert into t values ('${long}') returning a`, { part: long, rows: [] }],
    ['create table p partition of t for values in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)'],
  ])('in %s', (text, ...expected) => {
    expect(omitted(text)).toEqual(expected);
  });
});
