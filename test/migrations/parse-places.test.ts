import { describe, expect, it } from 'vitest';
import { readScripts } from '../../src/migrations/scripts.ts';
import { readMigrations, sqlFile } from '../../src/migrations/source.ts';
import { errorOf } from '../support/errors.ts';
import { writePairs } from '../support/fixtures.ts';
import { parseText, placesOf } from '../support/scripts.ts';

/** The statements of a text that breaks no rule. */
function statementsOf(text: string) {
  const { script, findings } = parseText(text);
  expect(findings).toEqual([]);
  return script.statements;
}

/** The only finding in a text. */
function findingIn(text: string) {
  const { findings } = parseText(text);
  expect(findings).toHaveLength(1);
  return findings[0];
}

/** `line:column` of the only finding. */
function placeIn(text: string): string {
  const finding = findingIn(text);
  return `${finding?.line}:${finding?.column}`;
}

describe('the text of statements', () => {
  it.each([
    ['SELECT 1;SELECT 2', ['SELECT 1', 'SELECT 2']],
    [';;SELECT 1;;;SELECT 2;;', ['SELECT 1', 'SELECT 2']],
    ['-- one\nSELECT 1; -- still one\n-- two\nSELECT 2;', ['SELECT 1', 'SELECT 2']],
    ['/* a /* nested */ ; */ SELECT 1;', ['SELECT 1']],
    ['/*/**/*/SELECT 1;/***/', ['SELECT 1']],
    ['SELECT 1 -- the end', ['SELECT 1 -- the end']],
    [
      "SELECT '-- no comment'; SELECT '/* nor */';",
      ["SELECT '-- no comment'", "SELECT '/* nor */'"],
    ],
    ['SELECT $a$;$b$;$a$; SELECT $$;$$', ['SELECT $a$;$b$;$a$', 'SELECT $$;$$']],
    [
      "SELECT '🚀'; SELECT 'é', '漢字';\nSELECT 3",
      ["SELECT '🚀'", "SELECT 'é', '漢字'", 'SELECT 3'],
    ],
    ['/* 🚀🚀 */ SELECT 1; -- é\nSELECT 2;', ['SELECT 1', 'SELECT 2']],
    ['SELECT 1 AS "🚀;"; SELECT 2', ['SELECT 1 AS "🚀;"', 'SELECT 2']],
    // A no-break space is a letter to PostgreSQL, and part of the name.
    ['DROP TABLE t\u00a0; SELECT 1', ['DROP TABLE t\u00a0', 'SELECT 1']],
    ['\f\tSELECT 1\f;\t', ['SELECT 1']],
  ])('is the text in the file without comments around it: %j', (text, expected) => {
    const statements = statementsOf(text);
    expect(statements.map((statement) => statement.text)).toEqual(expected);
    for (const { index, text: found } of statements)
      expect(text.slice(index, index + found.length)).toBe(found);
  });

  it.each(['', '   \n', '-- nothing', '/* nothing */', ';', ';;\n;'])(
    'is missing in %j',
    (text) => {
      expect(findingIn(text)).toMatchObject({ rule: 'no-statement', line: 1, column: 1 });
    },
  );
});

describe('the place of a finding', () => {
  it.each([
    ['SELECT 1 FRM t;', '1:14'],
    ["SELECT '🚀🚀' 1;", '1:13'],
    ["SELECT 'é' 1;", '1:12'],
    ['-- 🚀\n/* é */\nSELECT 1 1;', '3:10'],
    ["SELECT '🚀';\n\n\tSELECT 'a漢' 1;", '3:14'],
    ['SELECT "🚀" 1;', '1:12'],
    ['SELECT (', '1:9'],
    ['SELECT 1;\nCREATE TABLE t (\n  id INT', '3:9'],
    ["SELECT 1;\nSELECT 'unfinished;\n", '2:8'],
    ['SELECT 1;\nSELECT $$unfinished;\n', '2:8'],
    ['SELECT 1; /* unfinished', '1:11'],
    ['SELECT "unfinished', '1:8'],
    ['BEGIN;\n🚀;\nCOMMIT;', '2:1'],
    ['SELECT :variable;', '1:8'],
    ["SELECT '🚀'; VACUUM;", '1:13'],
  ])('for %j is %s', (text, place) => {
    expect(placeIn(text)).toBe(place);
  });

  it('includes the whole line', () => {
    expect(findingIn("SELECT 1;\n\tSELECT '🚀' 1;\n")).toEqual({
      file: 'f.sql',
      line: 2,
      column: 13,
      lineText: "\tSELECT '🚀' 1;",
      rule: 'syntax-error',
      reason: 'syntax error at or near "1"',
      versions: undefined,
    });
  });

  it.each([
    ['SELECT 1;\n\\connect other', '2:1', '\\connect'],
    ['  \\i other.sql', '1:3', '\\i'],
    ['SELECT 1 \\gexec', '1:10', '\\gexec'],
    ['\\.', '1:1', '\\.'],
    ["\\copy t from 'x'", '1:1', '\\copy'],
  ])('is the start of a psql command in %j', (text, place, command) => {
    expect(placeIn(text)).toBe(place);
    expect(findingIn(text)).toMatchObject({ rule: 'psql-command', command });
  });

  it.each([
    ['COPY t FROM STDIN;\n1\tone\n\\.\n', '1:1'],
    ['SELECT 1;\n-- rows\nCOPY t (a, b) FROM stdin WITH (FORMAT csv);\nhello,1\n\\.\n', '3:1'],
    ['copy t from stdin;\n\\N\t1\n\\.\n', '1:1'],
    ['COPY t FROM STDIN;\n\\.\n', '1:1'],
    ["SELECT 1;\nCOPY t (a, b) FROM stdin WITH (DELIMITER ';');\nx;y\n\\.\n", '2:1'],
    ["COPY t FROM stdin DELIMITERS ';' /* ; */;\nselect;1;'\n\\.\n", '1:1'],
    [
      '-- Name: t; Type: TABLE DATA; Schema: public; Owner: -\n--\n\nCOPY public.t (a) FROM stdin;\n1\n\\.\n',
      '4:1',
    ],
    ["COPY t FROM /* ; */ STDIN (NULL ';') WHERE a <> ';';\nselect 1 from\n\\.\n", '1:1'],
    ['COPY t FROM STDIN;\n$$\n\\.\nSELECT 1;', '1:1'],
  ])('is the COPY, not the first row after it, in %j', (text, place) => {
    expect(placeIn(text)).toBe(place);
    expect(findingIn(text)).toMatchObject({ rule: 'copy-from-stdin' });
  });

  it.each([
    ["SET standard_conforming_strings = off;\nSELECT 'it\\'s';", '1:1'],
    ["SELECT 1;\nSET LOCAL standard_conforming_strings TO 'f';\nSELECT 'it\\'s', 'x';\n", '2:1'],
    ["SET standard_conforming_strings = 0; SELECT '\\', 1 -- '", '1:1'],
  ])('is the setting by which the server ends strings elsewhere, in %j', (text, place) => {
    expect(placeIn(text)).toBe(place);
    expect(findingIn(text)).toMatchObject({ rule: 'backslash-quote' });
  });

  it('comes with the versions of grammar and server where the server is newer', () => {
    const text = 'CREATE TABLE t (a int GENERATED ALWAYS AS (1) VIRTUAL);';
    expect(parseText(text, 'up', { serverVersion: 18 }).findings).toMatchObject([
      { rule: 'syntax-error', versions: { grammar: 15, server: 18 } },
    ]);
    expect(findingIn(text)).toMatchObject({ rule: 'syntax-error', versions: undefined });
  });

  it('is not the COPY of a file on the server', () => {
    expect(findingIn("COPY t FROM '/data';\nSELECT 'from stdin' 1;")).toMatchObject({
      rule: 'syntax-error',
      line: 2,
      column: 21,
    });
  });

  it('is reported for every finding in every file until a syntax error in that file', async () => {
    const { details } = await errorOf('faulty-statements', () =>
      readScripts([
        {
          up: sqlFile('a', 'BEGIN; VACUUM; COPY t TO STDOUT; COMMIT;'),
          down: sqlFile('b', 'SELEC 1; VACUUM;'),
        },
        { up: sqlFile('c', 'SELECT 1;'), down: sqlFile('d', '-- nothing') },
      ]),
    );
    expect(placesOf(details.findings)).toEqual([
      'a:1:8 needs-no-transaction',
      'a:1:16 copy-to-stdout',
      'b:1:1 syntax-error',
      'd:1:1 no-statement',
    ]);
  });
});

it.each([
  "SET standard_conforming_strings = off; SELECT 'a\\tb'",
  "SET standard_conforming_strings = on; SELECT '\\'",
  "RESET standard_conforming_strings; SELECT '\\'",
])('the server ends the strings in %j where the tool does', (text) => {
  expect(statementsOf(text)).toHaveLength(2);
});

describe('a file saved with', () => {
  it.each([
    ['CRLF', (text: string) => text.replaceAll('\n', '\r\n')],
    ['a byte-order mark', (text: string) => `\ufeff${text}`],
    ['CRLF and a byte-order mark', (text: string) => `\ufeff${text.replaceAll('\n', '\r\n')}`],
  ])('%s has the same directives, statements and places', async (_, save) => {
    const sound = '-- Transaction: none\n\nVACUUM;\nSELECT 1;\n';
    const [pair] = readMigrations(
      writePairs({ '20250101_120000_a': [save(sound), save('SELECT 1;\nSELECT\n  1 1;\n')] }),
    );
    if (!pair) throw new Error('there is one pair');
    expect(parseText(pair.up.text)).toMatchObject({
      findings: [],
      script: { transaction: 'none', statements: [{ text: 'VACUUM' }, { text: 'SELECT 1' }] },
    });
    const { details } = await errorOf('faulty-statements', () => readScripts([pair]));
    expect(placesOf(details.findings)).toEqual(['20250101_120000_a_rollback.sql:3:5 syntax-error']);
  });
});

describe('a file of 5 MB', () => {
  const size = 5_000_000;

  it('with one long statement has one statement', () => {
    const text = `BEGIN;\nSELECT '${'é🚀;'.repeat(size / 4)}';\nSELECT 2;\nCOMMIT;\n`;
    const statements = statementsOf(text);
    expect(statements).toHaveLength(2);
    expect(statements[1]).toMatchObject({ text: 'SELECT 2', index: text.indexOf('SELECT 2') });
  });

  it('with one long list of values has one statement', () => {
    const row = "(1, 'a name of some length, with an é and more')";
    const text = `INSERT INTO t VALUES\n${Array.from({ length: size / 50 }, () => row).join(',\n')};\n`;
    expect(statementsOf(text)).toEqual([
      { text: text.slice(0, -2), index: 0, run: { kind: 'in-transaction' } },
    ]);
  });

  it('with short statements has each statement at its place', () => {
    const line = "INSERT INTO t VALUES (1, '🚀 a name of some length'); -- é\n";
    const text = line.repeat(Math.floor(size / 60));
    const statements = statementsOf(text);
    expect(statements).toHaveLength(Math.floor(size / 60));
    const misplaced = statements.filter(({ index }, at) => index !== at * line.length);
    expect(misplaced).toEqual([]);
  });

  it('with comments and one statement has one statement', () => {
    const text = `${'-- nothing /* here\n'.repeat(100_000)}/*${'/* x */'.repeat(400_000)}*/ SELECT 1;`;
    expect(statementsOf(text)).toMatchObject([{ index: text.length - 9 }]);
  });

  it('with one line gives the column of a finding', () => {
    expect(placeIn(`SELECT '${'x'.repeat(size)}' 1;`)).toBe(`1:${size + 11}`);
  });

  it('with too deep nesting is reported, and the next file is parsed', () => {
    const nested = `SELECT ${'('.repeat(50_000)}1${')'.repeat(50_000)};`;
    expect(findingIn(nested)).toMatchObject({ rule: 'syntax-error' });
    const chained = `SELECT ${'1+'.repeat(200_000)}1;`;
    expect(findingIn(chained)).toMatchObject({ rule: 'syntax-error' });
    expect(statementsOf('SELECT 1;')).toHaveLength(1);
  });
});
