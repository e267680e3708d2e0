import { describe, expect, it } from 'vitest';
import * as migrate from '../../src/migrations/migrate.ts';
import { createScratchRole, type ScratchDatabase, type ScratchRole } from '../support/databases.ts';
import { type Pairs, writePairs } from '../support/fixtures.ts';
import {
  loggedEvents,
  publicTables,
  recordedVersions,
  runMigrate,
  scratchDatabase,
} from '../support/recovery.ts';

const [v1, v2, v3] = ['20260101_000100', '20260101_000200', '20260101_000300'] as const;
const before: Pairs = { [`${v1}_before`]: ['CREATE TABLE before ();\n', 'DROP TABLE before;\n'] };
const after: Pairs = { [`${v3}_after`]: ['CREATE TABLE after ();\n', 'DROP TABLE after;\n'] };
const down = 'SELECT 1;\n';

/** A migration with this text between two that are sound. */
function between(text: string) {
  return writePairs({ ...before, [`${v2}_change`]: [text, down], ...after });
}

interface Refusal {
  readonly text: string;
  readonly sqlState: string;
  readonly line: number;
  readonly column: number;
  readonly evidence: readonly string[];
  readonly hint?: string;
}

const codes = `CREATE TABLE codes (code text PRIMARY KEY);`;

describe('a statement that the server refuses', () => {
  const refusals: readonly [string, Refusal][] = [
    [
      'an unknown name, with its place in the statement',
      {
        text: `BEGIN;\n${codes}\n-- 🚀 é\nSELECT '🚀', coed\n  FROM codes;\nCOMMIT;\n`,
        sqlState: '42703',
        line: 4,
        column: 13,
        evidence: ["4 | SELECT '🚀', coed", '^'],
        hint: 'codes.code',
      },
    ],
    [
      'a duplicate key, with the place of its statement',
      {
        text: `BEGIN;\n${codes}\nINSERT INTO codes VALUES ('a');\n\n  /* again */ INSERT INTO codes VALUES ('a');\nCOMMIT;\n`,
        sqlState: '23505',
        line: 5,
        column: 15,
        evidence: ['table public.codes, columns (code), constraint codes_pkey'],
      },
    ],
    [
      'an error inside a function, with the place of the call and the line in the function',
      {
        text: `CREATE FUNCTION fail(n integer) RETURNS integer LANGUAGE plpgsql AS $$\nBEGIN\n  RETURN 1 / n;\nEND $$;\n\nSELECT fail(0);\n`,
        sqlState: '22012',
        line: 6,
        column: 1,
        evidence: ['in: PL/pgSQL function fail(integer) line 3 at RETURN'],
      },
    ],
    [
      'an error in a string that a DO block executes, with the query',
      {
        text: `SELECT 1;\nDO $$ BEGIN EXECUTE 'select nothing_of_the_kind'; END $$;\n`,
        sqlState: '42703',
        line: 2,
        column: 1,
        evidence: ['query: select nothing_of_the_kind'],
      },
    ],
    [
      'an error in the 130th statement of a file',
      {
        text: `${'SELECT 1;\n'.repeat(129)}SELECT 1 / 0;\n${'SELECT 1;\n'.repeat(100)}`,
        sqlState: '22012',
        line: 130,
        column: 1,
        evidence: ['130 | SELECT 1 / 0;'],
      },
    ],
    [
      'a constraint that is checked at COMMIT, with its columns',
      {
        text: `CREATE TABLE parents (id integer PRIMARY KEY);\nCREATE TABLE children (parent integer REFERENCES parents DEFERRABLE INITIALLY DEFERRED);\nINSERT INTO children VALUES (7);\n`,
        sqlState: '23503',
        line: 3,
        column: 1,
        evidence: ['table public.children, columns (parent), constraint children_parent_fkey'],
      },
    ],
    [
      'a COMMIT inside a procedure, which the grammar does not read',
      {
        text: `CREATE TABLE kept ();\nCREATE PROCEDURE sneak() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$;\nCALL sneak();\n`,
        sqlState: '2D000',
        line: 3,
        column: 1,
        evidence: ['in: PL/pgSQL function sneak() line 1 at COMMIT'],
      },
    ],
  ];

  it.each(refusals)(
    'is reported as %s',
    async (_what, { text, sqlState, line, column, evidence, hint }) => {
      const database = await scratchDatabase();
      const run = migrate.up({ target: database.url, ...between(text) });
      await expect(run).rejects.toMatchObject({
        code: 'migration-failed',
        details: {
          version: v2,
          direction: 'up',
          completed: [v1],
          pending: [v3],
          sqlState,
          location: { file: `${v2}_change.sql`, line, column },
        },
      });
      const [problem] = await run.catch(({ problems }) => problems);
      for (const part of evidence) expect(problem.evidence.join('\n')).toContain(part);
      expect(problem.hint ?? '').toContain(hint ?? '');
      expect(await publicTables(database.sql)).toEqual(['before']);
      expect(await recordedVersions(database.sql)).toEqual([v1]);
      expect(await loggedEvents(database.sql)).toEqual([`apply ${v1}`, `failure ${v2}`]);
    },
  );

  it('is shown on the command line with its line and a caret, and the run exits with 2', async () => {
    const database = await scratchDatabase();
    const folders = between(`BEGIN;\n${codes}\nINSERT INTO codes (coed) VALUES ('a');\nCOMMIT;\n`);
    const { code, stdout, stderr } = await runMigrate(database, folders, ['up']);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(
      [
        `${v2}_change.sql:3:20 column "coed" of relation "codes" does not exist`,
        "  3 | INSERT INTO codes (coed) VALUES ('a');",
        '                         ^',
        '  SQLSTATE 42703',
        '  applied before it: 1; this one is rolled back; still to do: 1',
      ].join('\n'),
    );
  });
});

describe('a single transaction', () => {
  it('rolls everything back when one file fails, and names the other files as pending', async () => {
    const database = await scratchDatabase();
    const run = migrate.up({
      target: database.url,
      ...between('SELECT 1 / 0;\n'),
      singleTransaction: true,
    });
    await expect(run).rejects.toMatchObject({
      code: 'migration-failed',
      details: { version: v2, completed: [], pending: [v1, v3] },
    });
    expect(await publicTables(database.sql)).toEqual([]);
    expect(await recordedVersions(database.sql)).toEqual([]);
  });

  it('applies and records all files when none fails', async () => {
    const database = await scratchDatabase();
    const options = { target: database.url, ...between('CREATE TABLE middle ();\n') };
    const { steps } = await migrate.up({ ...options, singleTransaction: true });
    expect(steps.map(({ version }) => version)).toEqual([v1, v2, v3]);
    const times = await database.sql`
      select distinct xmin::text from cryptosense_db.migrations`;
    expect(times).toHaveLength(1);
    expect(await publicTables(database.sql)).toEqual(['after', 'before', 'middle']);
  });

  it.each([
    ['when the whole transaction is committed', 'CREATE TABLE middle ();\n', [v1, v2, v3]],
    ['never when a later step fails', 'CREATE TABLE after ();\n', []],
  ])('reports a step as finished %s', async (_what, text, finished) => {
    const database = await scratchDatabase();
    const events: string[] = [];
    const run = migrate.up({
      target: database.url,
      ...between(text),
      singleTransaction: true,
      onProgress: (event) =>
        (event.kind === 'step-started' || event.kind === 'step-finished') &&
        events.push(`${event.kind} ${event.step.version}`),
    });
    await (finished.length > 0
      ? run
      : expect(run).rejects.toMatchObject({ details: { version: v3, completed: [] } }));
    expect(events).toEqual([
      ...[v1, v2, v3].map((version) => `step-started ${version}`),
      ...finished.map((version) => `step-finished ${version}`),
    ]);
  });

  it('refuses a file that runs without a transaction', async () => {
    const database = await scratchDatabase();
    const folders = between('-- Transaction: none\nVACUUM;\n');
    await expect(
      migrate.up({ target: database.url, ...folders, singleTransaction: true }),
    ).rejects.toMatchObject({ code: 'faulty-statements' });
    expect(await publicTables(database.sql)).toEqual([]);
  });
});

describe('the rows that a statement returns', () => {
  it.each(['', '-- Transaction: none\n'])(
    'are not kept in memory when the file begins with %j',
    async (header) => {
      const database = await scratchDatabase();
      const folders = between(
        `${header}SELECT repeat('x', 1000) FROM generate_series(1, 300000);\n`,
      );
      const before = process.memoryUsage().rss;
      let peak = before;
      const watch = setInterval(() => {
        peak = Math.max(peak, process.memoryUsage().rss);
      }, 10);
      await migrate.up({ target: database.url, ...folders }).finally(() => clearInterval(watch));
      expect((peak - before) / 1024 ** 2).toBeLessThan(150);
    },
  );
});

describe('a setting that a file leaves in the session', () => {
  const settings = [
    'SET search_path = pg_catalog;',
    "SET statement_timeout = '1min';",
    'SET default_transaction_read_only = on;',
    'SET check_function_bodies = off;',
    'CREATE TEMP TABLE before_after (n integer);',
    'SET ROLE pg_monitor;',
    '',
  ].join('\n');

  it.each([{ singleTransaction: false }, { singleTransaction: true }])(
    'does not affect the next file or the history (single transaction: $singleTransaction)',
    async (mode) => {
      const database = await scratchDatabase();
      const folders = writePairs({
        [`${v1}_settings`]: [
          mode.singleTransaction ? settings.replace(/.*1ms.*/, '') : settings,
          down,
        ],
        [`${v2}_next`]: [
          [
            'CREATE TABLE next AS SELECT current_user::text AS role,',
            "  current_setting('search_path') AS path, current_setting('check_function_bodies') AS bodies,",
            "  to_regclass('pg_temp.before_after')::text AS temporary;",
            '',
          ].join('\n'),
          down,
        ],
      });
      await migrate.up({ target: database.url, ...folders, ...mode });
      const [owner] = await database.sql`select current_user::text as role`;
      expect(await database.sql`select * from public.next`).toEqual([
        { role: owner?.role, path: 'public', bodies: 'on', temporary: null },
      ]);
      expect(await recordedVersions(database.sql)).toEqual([v1, v2]);
    },
  );

  it('is refused when it clears the tag of the transaction, and the file is rolled back', async () => {
    const database = await scratchDatabase();
    const run = migrate.up({
      target: database.url,
      ...between("CREATE TABLE kept ();\nDO $$ BEGIN EXECUTE 'RESET ALL'; END $$;\n"),
    });
    await expect(run).rejects.toMatchObject({ code: 'faulty-statements' });
    expect(await publicTables(database.sql)).toEqual(['before']);
    expect(await recordedVersions(database.sql)).toEqual([v1]);
  });
});

describe('a migration that releases the lock of the run in a DO block', () => {
  it.each([
    ['is rolled back when it runs in a transaction', '', ['before']],
    [
      'is not recorded when it runs without a transaction',
      '-- Transaction: none\n',
      ['before', 'kept'],
    ],
  ])('%s', async (_what, header, tables) => {
    const database = await scratchDatabase();
    const giveAway = 'DO $$ BEGIN PERFORM pg_advisory_unlock_all(); END $$;';
    const run = migrate.up({
      target: database.url,
      ...between(`${header}CREATE TABLE kept ();\n${giveAway}\n`),
    });
    await expect(run).rejects.toMatchObject({
      code: 'faulty-statements',
      details: { findings: [{ file: `${v2}_change.sql`, rule: 'left-transaction' }] },
    });
    expect(await publicTables(database.sql)).toEqual(tables);
    expect(await recordedVersions(database.sql)).toEqual([v1]);
    expect(await loggedEvents(database.sql)).toEqual([`apply ${v1}`]);
  });
});

describe('a role that lacks a right', () => {
  const folders = () => between('CREATE TABLE middle ();\n');

  async function asRole(use: (database: ScratchDatabase, role: ScratchRole) => Promise<void>) {
    const database = await scratchDatabase();
    const role = await createScratchRole(database.url);
    try {
      await use(database, role);
    } finally {
      await database.sql.unsafe(`drop owned by ${role.name} cascade`);
      await role.drop();
    }
  }

  it('gets the missing grant as a hint when it may not create a schema', () =>
    asRole(async ({ sql, url, name }, role) => {
      const run = migrate.up({ target: role.urlOf(url), ...folders() });
      await expect(run).rejects.toMatchObject({
        code: 'not-permitted',
        problems: [{ hint: expect.stringContaining(`grant create on database "${name}"`) }],
      });
      await sql.unsafe(`grant create on database ${name} to ${role.name}`);
      await sql.unsafe(`grant create on schema public to ${role.name}`);
      await migrate.up({ target: role.urlOf(url), ...folders() });
      expect(await sql`select distinct applied_by from cryptosense_db.migrations`).toEqual([
        { applied_by: role.name },
      ]);
    }));

  const readingGrants = [
    'grant usage on schema cryptosense_db to',
    'grant select on all tables in schema cryptosense_db to',
  ];

  it.each([
    ['read the history', []],
    ['write the history', readingGrants],
  ])('is refused before a migration runs when it may not %s', (_right, grants) =>
    asRole(async ({ sql, url }, role) => {
      await migrate.up({ target: url, ...folders(), steps: 1 });
      await sql.unsafe(`grant create on schema public to ${role.name}`);
      for (const grant of grants) await sql.unsafe(`${grant} ${role.name}`);
      const run = migrate.up({ target: role.urlOf(url), ...folders() });
      await expect(run).rejects.toMatchObject({
        code: 'not-permitted',
        problems: [{ hint: expect.stringContaining(`to "${role.name}"`) }],
      });
      expect(await publicTables(sql)).toEqual(['before']);
      expect(await loggedEvents(sql)).toEqual([`apply ${v1}`]);
    }),
  );

  it('fails at the statement when it may not create a table, and the step is rolled back', () =>
    asRole(async ({ sql, url, name }, role) => {
      await sql.unsafe(`grant create on database ${name} to ${role.name}`);
      const run = migrate.up({ target: role.urlOf(url), ...folders() });
      await expect(run).rejects.toMatchObject({
        code: 'migration-failed',
        details: { version: v1, sqlState: '42501', pending: [v2, v3] },
      });
      expect(await recordedVersions(sql)).toEqual([]);
    }));
});
