import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { migrate } from '../../src/index.ts';
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
