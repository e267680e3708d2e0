import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { migrate } from '../../src/index.ts';
import { createScratchDatabase, type ScratchDatabase } from '../support/databases.ts';
import { errorOf } from '../support/errors.ts';
import { type Pairs, writePairs } from '../support/fixtures.ts';

// PostgreSQL's own errors, with the positions that it counts: no made-up ones.
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

describe('the place of a failure', () => {
  it.each([
    ['the first statement', 'SELECT * FROM nowhere;', '1:15'],
    ['behind a BEGIN', 'BEGIN;\n\nSELECT * FROM nowhere;\nCOMMIT;', '3:15'],
    ['behind emoji in another statement', "SELECT '🚀🚀';\nSELECT * FROM nowhere;", '2:15'],
    ['behind emoji in the same line', "SELECT '🚀é漢' FROM nowhere;", '1:19'],
    ['behind emoji in the same statement', "SELECT '🚀'\n  FROM nowhere;", '2:8'],
    ['behind comments and tabs', '/* 🚀 */ -- é\n\t\tSELECT * FROM nowhere;', '2:17'],
    ['behind CRLF', 'SELECT 1;\r\n\r\nSELECT *\r\nFROM nowhere;', '4:6'],
    ['without a position, the statement', 'SELECT 1;\n  SELECT 1/0;', '2:3'],
    ['in a function body', 'DO $$\nBEGIN\n  SELECT 1 FRM x y;\nEND $$;', '3:16'],
    [
      'of a deferred constraint, the last statement',
      'CREATE TABLE d (id INT UNIQUE DEFERRABLE INITIALLY DEFERRED);\nINSERT INTO d VALUES (1), (1);\nSELECT 1;',
      '3:1',
    ],
  ])('%s', async (_, up, place) => {
    expect((await failureIn(up)).place).toBe(place);
  });

  it('is pointed at, in the line itself', async () => {
    const { evidence, sqlState } = await failureIn("SELECT 1;\n\tSELECT '🚀' FROM nowhere;");
    expect(sqlState).toBe('42P01');
    expect(evidence.slice(0, 2)).toEqual([
      "2 |  SELECT '🚀' FROM nowhere;",
      '                      ^',
    ]);
  });
});

describe('what PostgreSQL says of it', () => {
  it('its detail and its hint are passed on', async () => {
    const failure = await failureIn(
      "DO $$ BEGIN RAISE 'no' USING DETAIL = 'the detail', HINT = 'the hint', ERRCODE = 'P1234'; END $$;",
    );
    expect(failure).toMatchObject({ sqlState: 'P1234', hint: 'the hint' });
    expect(failure.evidence).toContain('detail: the detail');
    expect(failure.evidence).toContain('SQLSTATE P1234');
  });

  it('so are the function that it happened in, and the query inside', async () => {
    const { evidence } = await failureIn("DO $$ BEGIN EXECUTE 'SELECT * FROM nowhere'; END $$;");
    expect(evidence).toContainEqual(expect.stringMatching(/^in: PL\/pgSQL function/));
    expect(evidence).toContain('query: SELECT * FROM nowhere');
  });

  it('the first failure counts, not those that follow from it', async () => {
    expect(await failureIn('SELECT 1/0;\nSELECT * FROM nowhere;')).toMatchObject({
      place: '1:1',
      sqlState: '22012',
    });
  });
});

describe('how far the run came', () => {
  const pairs: Pairs = {
    '20250101_120000_a': sound,
    '20250101_120001_b': sound,
    '20250101_120002_c': ['SELECT 1/0;', sound[1]],
    '20250101_120003_d': sound,
  };
  const failed = { version: '20250101_120002', direction: 'up' };

  it('all in one: nothing is applied, and everything else is still to do', async () => {
    expect(await failureOf(pairs, { singleTransaction: true })).toMatchObject({
      ...failed,
      completed: [],
      pending: ['20250101_120000', '20250101_120001', '20250101_120003'],
    });
  });

  it('one by one: those before are applied, those after are still to do', async () => {
    expect(await failureOf(pairs)).toMatchObject({
      ...failed,
      completed: ['20250101_120000', '20250101_120001'],
      pending: ['20250101_120003'],
    });
    await migrate.down({ target: database.url, ...writePairs(pairs), all: true });
  });

  it('a BEGIN with options and a comment opens its transaction all the same', async () => {
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
});
