import { inspect } from 'node:util';
import { Chalk } from 'chalk';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { migrate } from '../../src/index.ts';
import { errorDocument, problemsOf, renderProblems } from '../../src/ui/render.ts';
import { createScratchDatabase, type ScratchDatabase } from '../support/databases.ts';
import { errorOf } from '../support/errors.ts';
import { type Pairs, writePairs } from '../support/fixtures.ts';

// The errors and positions come from a real server.
let database: ScratchDatabase;
beforeAll(async () => {
  database = await createScratchDatabase(inject('postgresUrl'));
});
afterAll(() => database.drop());

const sound = ['SELECT 1;', 'SELECT 1;'] as const;

async function failureOf(pairs: Pairs, options: Partial<migrate.UpOptions> = {}) {
  const { details, problems } = await errorOf('migration-failed', () =>
    migrate.up({ target: database.url, ...writePairs(pairs), ...options }),
  );
  const [problem] = problems;
  const evidence = problem?.evidence ?? [];
  const { line, column } = details.location;
  return { ...details, place: `${line}:${column}`, evidence, hint: problem?.hint };
}

const failureIn = (up: string) => failureOf({ '20250101_120000_a': [up, sound[1]] });

describe('the line and the column of a failure', () => {
  it.each([
    ['in the first statement', 'SELECT * FROM nowhere;', '1:15'],
    ['after a BEGIN', 'BEGIN;\n\nSELECT * FROM nowhere;\nCOMMIT;', '3:15'],
    ['after emoji in another statement', "SELECT '🚀🚀';\nSELECT * FROM nowhere;", '2:15'],
    ['after emoji in the same line', "SELECT '🚀é漢' FROM nowhere;", '1:19'],
    ['after emoji in the same statement', "SELECT '🚀'\n  FROM nowhere;", '2:8'],
    ['after comments and tabs', '/* 🚀 */ -- é\n\t\tSELECT * FROM nowhere;', '2:17'],
    ['after CRLF', 'SELECT 1;\r\n\r\nSELECT *\r\nFROM nowhere;', '4:6'],
    ['at the statement when the server reports no position', 'SELECT 1;\n  SELECT 1/0;', '2:3'],
    ['in a function body', 'DO $$\nBEGIN\n  SELECT 1 FRM x y;\nEND $$;', '3:16'],
    [
      'at the last statement when a deferred constraint fails',
      'CREATE TABLE d (id INT UNIQUE DEFERRABLE INITIALLY DEFERRED);\nINSERT INTO d VALUES (1), (1);\nSELECT 1;',
      '3:1',
    ],
  ])('are reported %s', async (_, up, place) => {
    expect((await failureIn(up)).place).toBe(place);
  });

  it('are shown with the line and a caret', async () => {
    const { evidence, sqlState } = await failureIn("SELECT 1;\n\tSELECT '🚀' FROM nowhere;");
    expect(sqlState).toBe('42P01');
    expect(evidence.slice(0, 2)).toEqual([
      "2 |  SELECT '🚀' FROM nowhere;",
      '                      ^',
    ]);
  });
});

describe('the report of a failure', () => {
  it("includes PostgreSQL's detail and hint", async () => {
    const failure = await failureIn(
      "DO $$ BEGIN RAISE 'no' USING DETAIL = 'the detail', HINT = 'the hint', ERRCODE = 'P1234'; END $$;",
    );
    expect(failure).toMatchObject({ sqlState: 'P1234', hint: 'the hint' });
    expect(failure.evidence).toContain('detail: the detail');
    expect(failure.evidence).toContain('SQLSTATE P1234');
  });

  it('includes the function that failed and its query', async () => {
    const { evidence } = await failureIn("DO $$ BEGIN EXECUTE 'SELECT * FROM nowhere'; END $$;");
    expect(evidence).toContainEqual(expect.stringMatching(/^in: PL\/pgSQL function/));
    expect(evidence).toContain('query: SELECT * FROM nowhere');
  });

  it('describes the first failure, not an error that it causes', async () => {
    expect(await failureIn('SELECT 1/0;\nSELECT * FROM nowhere;')).toMatchObject({
      place: '1:1',
      sqlState: '22012',
    });
  });
});

describe('a statement that the server refuses in a transaction', () => {
  it.each([
    ['a DO block that commits', 'DO $$ BEGIN COMMIT; END $$;', '2D000'],
    [
      'a procedure that commits',
      'CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$; CALL p();',
      '2D000',
    ],
    [
      'REINDEX of a partitioned table',
      'CREATE TABLE t (a integer) PARTITION BY RANGE (a); REINDEX TABLE t;',
      '25001',
    ],
  ])('gets the hint to run the file without one: %s', async (_, up, sqlState) => {
    expect(await failureIn(up)).toMatchObject({
      sqlState,
      hint: expect.stringContaining('-- Transaction: none'),
    });
  });
});

describe('values of rows', () => {
  const secret = '$2b$10$N9qo8uLOickgx2ZMRZoMye';
  const word = 'hunter2';
  // Only the rows have the values: the test writes them, not the file.
  beforeAll(async () => {
    const { sql } = database;
    await sql.unsafe(`
      create table accounts (email text, password text, note text);
      create table unique_ones (password text unique);
      create table checked_ones (password text constraint short check (length(password) < 5));
      create table parents (password text primary key);
      create table children (password text references parents);
      create table ranges (password text, exclude (password with =));
      create table parts (password text) partition by list (password);
      create function refuse() returns trigger language plpgsql as $$
        begin raise exception 'no' using detail = new.password, errcode = 'unique_violation'; end $$;
      create table guarded (password text);
      create trigger guard before insert on guarded for each row execute function refuse();
      create function complain() returns trigger language plpgsql as $$
        begin raise exception 'refused: "%"', new.password; end $$;
      create table loud (password text);
      create trigger guard before insert on loud for each row execute function complain();`);
    await sql`insert into accounts values (${secret}, ${secret}, ${word}), (${secret}, ${secret}, ${word})`;
  });
  afterAll(async () => {
    await database.sql.unsafe(`
      drop table accounts, unique_ones, checked_ones, children, parents, ranges, parts, guarded, loud;
      drop function refuse(), complain();`);
  });

  const cases: readonly (readonly [what: string, sql: string, shown: readonly string[]])[] = [
    [
      'a unique violation',
      'INSERT INTO unique_ones SELECT password FROM accounts;',
      ['table public.unique_ones, columns (password), constraint unique_ones_password_key'],
    ],
    [
      'a unique index',
      'CREATE UNIQUE INDEX ON accounts (email, password);',
      ['columns (email, password)'],
    ],
    [
      'a CHECK',
      'INSERT INTO checked_ones SELECT password FROM accounts;',
      ['table public.checked_ones, constraint short'],
    ],
    [
      'a NOT NULL',
      'CREATE TABLE n (a text NOT NULL, b text); INSERT INTO n SELECT NULL, password FROM accounts;',
      ['table public.n, columns (a)'],
    ],
    [
      'a foreign key',
      'INSERT INTO children SELECT password FROM accounts;',
      ['columns (password), constraint children_password_fkey'],
    ],
    [
      'an exclusion',
      'INSERT INTO ranges SELECT password FROM accounts;',
      ['columns (password), constraint ranges_password_excl'],
    ],
    ['a partition', 'INSERT INTO parts SELECT password FROM accounts;', ['SQLSTATE 23514']],
    ['a bad number', 'SELECT password::int FROM accounts;', ['integer: "…"', 'SQLSTATE 22P02']],
    [
      'a bad number of a text',
      'ALTER TABLE accounts ALTER note TYPE int USING note::int;',
      ['"…"'],
    ],
    ['a bad date', 'SELECT note::date FROM accounts;', ['date: "…"']],
    ['bad JSON', 'SELECT note::json FROM accounts;', ['json']],
    ['a bad base64', "SELECT decode(password, 'base64') FROM accounts;", ['"…"']],
    ['a bad regular class', 'SELECT note::regclass FROM accounts;', ['relation "…"']],
    [
      'a statement that EXECUTE puts together',
      "DO $$ BEGIN EXECUTE (SELECT 'SELECT ' || note FROM accounts LIMIT 1); END $$;",
      ['column "…" does not exist', 'PL/pgSQL function'],
    ],
    [
      'a value in a statement that EXECUTE puts together',
      "DO $$ BEGIN EXECUTE (SELECT format('INSERT INTO checked_ones VALUES (%L)', password) FROM accounts LIMIT 1); END $$;",
      ['constraint short'],
    ],
    [
      'the DETAIL of a RAISE, under any SQLSTATE',
      'INSERT INTO guarded SELECT password FROM accounts;',
      ['no', 'PL/pgSQL function refuse() line 2 at RAISE'],
    ],
    [
      'a quoted text in a RAISE of another file',
      'INSERT INTO loud SELECT password FROM accounts;',
      ['refused: "…"'],
    ],
    [
      'SQLERRM in a RAISE',
      "DO $$ BEGIN PERFORM note::int FROM accounts; EXCEPTION WHEN others THEN RAISE 'it failed: %', SQLERRM; END $$;",
      ['it failed: invalid input syntax for type integer: "…"'],
    ],
    ...[
      "to_tsquery(note || ' ' || note)",
      "('(' || note)::tsquery",
      "query_to_xml(note, true, true, '')",
      'ts_stat(note)',
      "ts_rewrite('a', note)",
      'note::regoper',
      "(note || '(int, int)')::regoperator",
      "('a.b.c.' || note)::regtype",
      'pg_read_file(note)',
      'pg_ls_dir(note)',
      'lo_import(note)',
    ].map((expression): (typeof cases)[number] => [
      expression,
      `SELECT ${expression} FROM accounts;`,
      ['…'],
    ]),
    [
      'a JSON value in a file that has braces too',
      `DO $$ BEGIN RAISE 'no: "%"', (SELECT format('{"x": "%s"}', note) FROM accounts LIMIT 1); END $$;
       SELECT '{"x": "y"}';`,
      ['no: "…"'],
    ],
    [
      'a RAISE with a colon',
      "DO $$ BEGIN RAISE 'no such word: %', (SELECT note FROM accounts LIMIT 1); END $$;",
      ['no such word: …'],
    ],
    [
      'a file without a transaction',
      '-- Transaction: none\nCREATE UNIQUE INDEX CONCURRENTLY i ON accounts (password);',
      ['columns (password)'],
    ],
  ];

  it.each(cases)('are not in the error or the log: %s', async (_, up, shown) => {
    const folders = writePairs({ '20250101_120000_a': [up, sound[1]] });
    const error = await errorOf('migration-failed', () =>
      migrate.up({ target: database.url, ...folders }),
    );
    const logged = await database.sql`select detail from cryptosense_db.migration_log`;
    const texts = [
      inspect(error, { depth: 9, showHidden: false }),
      JSON.stringify([error, errorDocument(error)]),
      renderProblems(problemsOf(error), { chalk: new Chalk({ level: 0 }), columns: undefined }),
      JSON.stringify(logged),
    ];
    for (const text of texts) {
      expect(text).not.toContain(secret);
      expect(text).not.toContain(word);
    }
    for (const text of shown) expect(error.message).toContain(text);
    const whole = JSON.stringify(errorDocument(error, { isVerbose: true }));
    expect(whole).toMatch(/hunter2|N9qo8uLO|\\"\$\\"/);
    const { version } = error.details;
    if (up.includes('none')) {
      await migrate.repair({ target: database.url, ...folders, forget: [version] });
      await database.sql.unsafe('drop index if exists i');
    }
  });

  it('are shown where the file has them', async () => {
    const { evidence } = await failureIn("SELECT 'hunter2'::text::int;");
    expect(evidence.join()).toContain("SELECT 'hunter2'::text::int");
    const names = await failureIn(
      "DO $$ BEGIN EXECUTE 'CREATE TABLE t (a int); CREATE TABLE t (a int)'; END $$;",
    );
    expect(names.sensitive).toBeUndefined();
  });
});

describe('the details of a failure', () => {
  const pairs: Pairs = {
    '20250101_120000_a': sound,
    '20250101_120001_b': sound,
    '20250101_120002_c': ['SELECT 1/0;', sound[1]],
    '20250101_120003_d': sound,
  };
  const failed = { version: '20250101_120002', direction: 'up' };

  it('name no completed migration when all migrations share one transaction', async () => {
    expect(await failureOf(pairs, { singleTransaction: true })).toMatchObject({
      ...failed,
      completed: [],
      pending: ['20250101_120000', '20250101_120001', '20250101_120003'],
    });
  });

  it('name the completed and the pending migrations', async () => {
    expect(await failureOf(pairs)).toMatchObject({
      ...failed,
      completed: ['20250101_120000', '20250101_120001'],
      pending: ['20250101_120003'],
    });
    await migrate.down({ target: database.url, ...writePairs(pairs), all: true });
  });
});

it('a BEGIN with options and a comment opens the transaction of its file', async () => {
  const folders = writePairs({
    '20250101_120000_a': [
      "BEGIN ISOLATION LEVEL SERIALIZABLE -- a comment\n; SELECT 1 / (current_setting('transaction_isolation') = 'serializable')::int; COMMIT;",
      sound[1],
    ],
  });
  const { steps } = await migrate.up({ target: database.url, ...folders });
  expect(steps).toHaveLength(1);
  await migrate.down({ target: database.url, ...folders });
});
