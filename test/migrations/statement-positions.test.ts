import { describe, expect, it } from 'vitest';
import { readMigrations, type SqlFile } from '../../src/migrations/source.ts';
import { parseScripts } from '../../src/migrations/statements.ts';
import { errorOf, wordsOf } from '../support/errors.ts';
import { writePairs } from '../support/fixtures.ts';

const file = (text: string): SqlFile => ({ name: 'f.sql', text, checksum: '' });

async function statementsOf(text: string) {
  const [script] = await parseScripts([{ file: file(text), kind: 'migration' }]);
  return script?.statements ?? [];
}

/** The one fault of a text: its place, and the line and caret that are shown. */
async function faultOf(text: string) {
  const error = await errorOf('faulty-statements', () => statementsOf(text));
  expect(error.problems).toHaveLength(1);
  const [, place, fact] = /^f\.sql:(\d+:\d+) (.*)$/s.exec(error.message.split('\n')[0] ?? '') ?? [];
  return { place, fact, shown: error.problems[0]?.evidence ?? [] };
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
  ])('%j', async (text, expected) => {
    const statements = await statementsOf(text);
    expect(statements.map((statement) => statement.text)).toEqual(expected);
    for (const { index, text: found } of statements)
      expect(text.slice(index, index + found.length)).toBe(found);
  });

  it.each(['', '   \n', '-- nothing', '/* nothing */', ';', ';;\n;'])(
    'there is none in %j',
    async (text) => {
      expect(await faultOf(text)).toMatchObject({ place: '1:1' });
    },
  );
});

describe('the place of a fault', () => {
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
  ])('%j is at %s', async (text, place) => {
    expect(await faultOf(text)).toMatchObject({ place });
  });

  it('has the line and a caret below', async () => {
    expect((await faultOf("SELECT 1;\n\tSELECT '🚀' 1;")).shown).toEqual([
      "2 |  SELECT '🚀' 1;",
      '                 ^',
    ]);
  });

  it.each([
    ['SELECT 1;\n\\connect other', '2:1', '\\connect'],
    ['  \\i other.sql', '1:3', '\\i'],
    ['SELECT 1 \\gexec', '1:10', '\\gexec'],
    ['\\.', '1:1', '\\.'],
    ["\\copy t from 'x'", '1:1', '\\copy'],
  ])('%j is told to be for psql', async (text, place, command) => {
    const fault = await faultOf(text);
    expect(fault.place).toBe(place);
    expect(fault.fact).toContain(command);
  });

  it.each([
    ['COPY t FROM STDIN;\n1\tone\n\\.\n', '1:1'],
    ['SELECT 1;\n-- rows\nCOPY t (a, b) FROM stdin WITH (FORMAT csv);\nhello,1\n\\.\n', '3:1'],
    ['copy t from stdin;\n\\N\t1\n\\.\n', '1:1'],
    ['COPY t FROM STDIN;\n\\.\n', '1:1'],
  ])('COPY with rows below it, in %j, is found rather than its first row', async (text, place) => {
    const fault = await faultOf(text);
    expect(fault.place).toBe(place);
    expect(fault.fact).toContain('COPY FROM STDIN');
  });

  it('does not blame a COPY that is over', async () => {
    expect(await faultOf("COPY t FROM '/data';\nSELECT 'from stdin' 1;")).toMatchObject({
      place: '2:21',
    });
  });

  it('every fault of every file is reported, but nothing after a syntax error', async () => {
    const error = await errorOf('faulty-statements', () =>
      parseScripts([
        {
          file: { ...file('BEGIN; VACUUM; COPY t TO STDOUT; COMMIT;'), name: 'a' },
          kind: 'migration',
        },
        { file: { ...file('SELEC 1; VACUUM;'), name: 'b' }, kind: 'migration' },
        { file: { ...file('SELECT 1;'), name: 'c' }, kind: 'migration' },
        { file: { ...file('-- nothing'), name: 'd' }, kind: 'rollback' },
      ]),
    );
    expect(error.problems.map(({ message }) => message.split(' ')[0])).toEqual([
      'a:1:8',
      'a:1:16',
      'b:1:1',
      'd:1:1',
    ]);
  });
});

describe('files as editors save them', () => {
  it.each([
    ['CRLF', (text: string) => text.replaceAll('\n', '\r\n')],
    ['a byte-order mark', (text: string) => `\ufeff${text}`],
    ['both', (text: string) => `\ufeff${text.replaceAll('\n', '\r\n')}`],
  ])('%s: directives, statements and places are the same', async (_, save) => {
    const sound = '-- Transaction: none\n\nVACUUM;\nSELECT 1;\n';
    const [pair] = readMigrations(
      writePairs({ '20250101_120000_a': [save(sound), save('SELECT 1;\nSELECT\n  1 1;\n')] }),
    );
    if (!pair) throw new Error('there is one pair');
    const [script] = await parseScripts([{ file: pair.migration, kind: 'migration' }]);
    expect(script).toMatchObject({
      transaction: 'none',
      statements: [{ text: 'VACUUM' }, { text: 'SELECT 1' }],
    });
    const error = await errorOf('faulty-statements', () =>
      parseScripts([{ file: pair.rollback, kind: 'rollback' }]),
    );
    expect(wordsOf(error)).toContain('20250101_120000_a_rollback.sql:3:5 ');
  });
});

describe('a file of 5 MB', () => {
  const size = 5_000_000;

  it('of one statement is one statement', async () => {
    const text = `BEGIN;\nSELECT '${'é🚀;'.repeat(size / 4)}';\nSELECT 2;\nCOMMIT;\n`;
    const statements = await statementsOf(text);
    expect(statements).toHaveLength(2);
    expect(statements[1]).toMatchObject({ text: 'SELECT 2', index: text.indexOf('SELECT 2') });
  });

  it('of one list of values is one statement', async () => {
    const row = "(1, 'a name of some length, with an é and more')";
    const text = `INSERT INTO t VALUES\n${Array.from({ length: size / 50 }, () => row).join(',\n')};\n`;
    expect(await statementsOf(text)).toEqual([
      { text: text.slice(0, -2), index: 0, run: { kind: 'in-transaction' } },
    ]);
  });

  it('of many statements has each of them in its place', async () => {
    const line = "INSERT INTO t VALUES (1, '🚀 a name of some length'); -- é\n";
    const text = line.repeat(Math.floor(size / 60));
    const statements = await statementsOf(text);
    expect(statements).toHaveLength(Math.floor(size / 60));
    const misplaced = statements.filter(({ index }, at) => index !== at * line.length);
    expect(misplaced).toEqual([]);
  });

  it('of comments has its one statement', async () => {
    const text = `${'-- nothing /* here\n'.repeat(100_000)}/*${'/* x */'.repeat(400_000)}*/ SELECT 1;`;
    expect(await statementsOf(text)).toMatchObject([{ index: text.length - 9 }]);
  });

  it('of one line is cut around the fault', async () => {
    const { place, shown } = await faultOf(`SELECT '${'x'.repeat(size)}' 1;`);
    expect(place).toBe(`1:${size + 11}`);
    expect(shown[0]).toMatch(/^1 \| … x+' 1;$/);
    expect(shown[1]?.indexOf('^')).toBe(shown[0]?.indexOf('1;'));
  });

  it('nested beyond reason is a fault, and the next file is parsed as ever', async () => {
    const nested = `SELECT ${'('.repeat(50_000)}1${')'.repeat(50_000)};`;
    await errorOf('faulty-statements', () => statementsOf(nested));
    const chained = `SELECT ${'1+'.repeat(200_000)}1;`;
    await errorOf('faulty-statements', () => statementsOf(chained));
    expect(await statementsOf('SELECT 1;')).toHaveLength(1);
  });
});
