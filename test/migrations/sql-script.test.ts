import { describe, expect, inject, it } from 'vitest';
import * as database from '../../src/databases/lifecycle.ts';
import * as migrate from '../../src/migrations/migrate.ts';
import * as schema from '../../src/schema/schema.ts';
import { renderSqlScript } from '../../src/ui/sql-script.ts';
import type { ScratchDatabase } from '../support/databases.ts';
import { type Folders, fixture, type Pairs, writePairs } from '../support/fixtures.ts';
import { noPsql, runPsql } from '../support/psql.ts';
import { publicTables, recordedVersions, scratchDatabase } from '../support/recovery.ts';

const timescaleUrl = inject('timescaleUrl');
const noServer = timescaleUrl ? '' : ' (skipped: no server with TimescaleDB)';

type Options = Omit<Partial<migrate.UpOptions>, 'target'>;

async function printUp({ url }: ScratchDatabase, options: Options): Promise<string> {
  const run = await migrate.up({ target: url, ...options, dryRun: true, script: true });
  return renderSqlScript(run);
}

async function printDown({ url }: ScratchDatabase, options: Folders & { readonly all?: true }) {
  return renderSqlScript(
    await migrate.down({ target: url, ...options, dryRun: true, script: true }),
  );
}

/** What the run recorded, without the times. */
async function historyOf({ sql }: ScratchDatabase) {
  return {
    migrations: await sql`
      select version, description, checksum, rollback_sql, rollback_checksum, applied_by,
        tool_version, search_path
      from cryptosense_db.migrations order by version`,
    log: await sql`
      select event, version, description, checksum, by, detail, tool_version
      from cryptosense_db.migration_log order by id`,
    rest: await sql`
      select (select max(format) from cryptosense_db.ledger) as format,
        (select max(name) from cryptosense_db.environment) as mark,
        (select count(*)::int from cryptosense_db.migration_journal) as journalled`,
  };
}

const words = String.raw`O'Brien "said" \ and \\ :name :'name' $$ Zürich 日本 💶`;
const quoted = words.replaceAll("'", "''");

/** Each with what psql or a careless script would read in another way. */
const hard: Pairs = {
  '20260101_000100_words': [
    [
      '-- Words',
      'BEGIN;',
      'CREATE TABLE words (id int PRIMARY KEY, word text, n int[]);',
      `INSERT INTO words VALUES (1, '${quoted}', '{1,2,3}') -- a comment at the end`,
      `; INSERT INTO words VALUES (2, E'it\\'s a \\\\ backslash', null);`,
      `INSERT INTO words VALUES (3, $q$ $$ ${words} $q$, null);`,
      String.raw`CREATE FUNCTION lines() RETURNS text LANGUAGE sql AS $body$
select '
\i no-command.sql
\! echo no-command
:name' || ':name'::text || E'\\' || $$ it's $$
$body$;`,
      'CREATE FUNCTION part(a int[], name int) RETURNS int[] LANGUAGE sql BEGIN ATOMIC',
      '  SELECT CASE WHEN name > 0 THEN a[1:name] ELSE a[name:name] END;',
      'END;',
      'COMMIT;',
      '',
    ].join('\n'),
    `-- ${words}\nDROP FUNCTION part(int[], int); DROP FUNCTION lines(); DROP TABLE words;\n`,
  ],
  '20260101_000200_index': [
    '-- Transaction: none\nSET search_path = public;\nCREATE INDEX CONCURRENTLY by_word ON words (word);\n' +
      "INSERT INTO words VALUES (4, 'none', null);\nRESET search_path;\n",
    '-- Transaction: none\nDROP INDEX CONCURRENTLY by_word;\n',
  ],
  '20260101_000300_settings': [
    'BEGIN ISOLATION LEVEL REPEATABLE READ;\nLOCK TABLE words;\nSET escape_string_warning = off; SET standard_conforming_strings = off;\n' +
      "INSERT INTO words VALUES (5, 'a\\\\b', null);\nRESET ALL;\nCREATE TABLE after_reset (id int);\nCOMMIT;\n",
    'DROP TABLE after_reset;\n',
  ],
};

describe.skipIf(noPsql !== '')(`the SQL of a run, run by psql${noPsql}`, () => {
  it('leaves the schema, the rows and the history of the run', async () => {
    const folders = writePairs(hard);
    const [run, script] = [await scratchDatabase(), await scratchDatabase()];
    await migrate.up({ target: run.url, ...folders, environment: 'staging' });

    const printed = await printUp(script, { ...folders, environment: 'staging' });
    const variables = ['name', 'a', '1'].map((name) => `--variable=${name}=2`);
    expect(runPsql(script.url, printed, variables)).toMatchObject({ code: 0, stderr: '' });

    expect(await historyOf(script)).toEqual(await historyOf(run));
    const rows = ({ sql }: ScratchDatabase) => sql`select * from words order by id`;
    expect(await rows(script)).toEqual(await rows(run));
    const bodies = ({ sql }: ScratchDatabase) => sql`
      select proname, pg_get_functiondef(oid) as text, prosrc from pg_proc
      where pronamespace = 'public'::regnamespace order by proname`;
    expect(await bodies(script)).toEqual(await bodies(run));
    expect(await migrate.status({ target: script.url, ...folders })).toMatchObject({
      isCurrent: true,
      environment: 'staging',
    });

    const back = await printDown(script, { ...folders, all: true });
    expect(runPsql(script.url, back)).toMatchObject({ code: 0, stderr: '' });
    await migrate.down({ target: run.url, ...folders, all: true, force: run.name });
    expect(await publicTables(script.sql)).toEqual([]);
    expect(await historyOf(script)).toEqual(await historyOf(run));
  });

  it('stops at an error, leaves the steps before it, and is printed again for the rest', async () => {
    const steps = (second: string): Pairs => ({
      '20260101_000100_one': ['CREATE TABLE one (id int);\n', 'DROP TABLE one;\n'],
      '20260101_000200_two': [second, 'DROP TABLE two;\n'],
      '20260101_000300_three': ['CREATE TABLE three (id int);\n', 'DROP TABLE three;\n'],
    });
    const database = await scratchDatabase();
    const broken = writePairs(steps('CREATE TABLE two (id int); SELECT 1 / 0;\n'));
    const printed = await printUp(database, broken);
    expect(runPsql(database.url, printed).code).toBe(3);
    expect(await publicTables(database.sql)).toEqual(['one']);
    expect(await recordedVersions(database.sql)).toEqual(['20260101_000100']);

    expect(runPsql(database.url, printed)).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('this script is for a database without a history'),
    });
    const corrected = writePairs(steps('CREATE TABLE two (id int);\n'));
    expect(runPsql(database.url, await printUp(database, corrected)).code).toBe(0);
    expect(await publicTables(database.sql)).toEqual(['one', 'three', 'two']);
  });

  it('applies all or none with --single-transaction', async () => {
    const database = await scratchDatabase();
    const folders = writePairs({
      '20260101_000100_one': ['CREATE TABLE one (id int);\n', 'DROP TABLE one;\n'],
      '20260101_000200_two': ['CREATE TABLE two AS SELECT 1 / n FROM numbers;\n', 'SELECT 1;\n'],
    });
    await database.sql`create table numbers as select 0 as n`;
    const printed = await printUp(database, { ...folders, singleTransaction: true });
    expect(runPsql(database.url, printed).code).toBe(3);
    expect(await publicTables(database.sql)).toEqual(['numbers']);
    await database.sql`update numbers set n = 1`;
    const again = await printUp(database, { ...folders, singleTransaction: true });
    expect(runPsql(database.url, again)).toMatchObject({ code: 0, stderr: '' });
    expect(await recordedVersions(database.sql)).toEqual(['20260101_000100', '20260101_000200']);
  });

  it('changes nothing where another run has the lock, or history or mark are other ones', async () => {
    const folders = fixture('recovery-chain');
    const target = await scratchDatabase();
    await migrate.up({ target: target.url, ...folders, steps: 1, environment: 'dev' });
    const printed = await printUp(target, folders);
    const refusal = (url: string) => {
      const { code, stderr } = runPsql(url, printed);
      return { code, error: /ERROR: {2}(.*)/.exec(stderr)?.[1] };
    };

    const holder = await target.sql.reserve();
    await holder`select pg_advisory_lock(842341073, 1509727411)`;
    const locked = refusal(target.url);
    expect(locked).toEqual({ code: 3, error: 'another run holds the migration lock' });
    await holder`select pg_advisory_unlock(842341073, 1509727411)`;
    holder.release();

    await database.mark({ target: target.url, environment: 'production', force: target.name });
    const marked = refusal(target.url);
    expect(marked).toEqual({
      code: 3,
      error: 'this script is for a database that is marked as dev',
    });

    const other = await scratchDatabase();
    await migrate.up({ target: other.url, ...folders, steps: 2, environment: 'dev' });
    const elsewhere = refusal(other.url);
    expect(elsewhere).toEqual({
      code: 3,
      error: 'this script is for another history of migrations',
    });
    expect(await recordedVersions(other.sql)).toHaveLength(2);
    expect(await recordedVersions(target.sql)).toHaveLength(1);
  });

  it('opens a new session after a step that leaves what no reset undoes', async () => {
    const database = await scratchDatabase();
    const folders = writePairs({
      '20260101_000100_settings': [
        `ALTER DATABASE ${database.name} SET work_mem = '9MB'; PREPARE seven AS SELECT 7;\n`,
        'SELECT 1;\n',
      ],
      '20260101_000200_seen': [
        `CREATE TABLE seen AS SELECT current_setting('work_mem') AS work_mem,
           (SELECT count(*)::int FROM pg_prepared_statements) AS prepared;\n`,
        'DROP TABLE seen;\n',
      ],
    });
    const printed = await printUp(database, folders);
    expect(printed.match(/^\\connect$/gm)).toHaveLength(1);
    expect(runPsql(database.url, printed)).toMatchObject({ code: 0, stderr: '' });
    expect(await database.sql`select * from seen`).toEqual([{ work_mem: '9MB', prepared: 0 }]);
  });

  it.skipIf(noServer !== '')(
    `makes the packaged schema on a server with TimescaleDB${noServer}`,
    async () => {
      const [run, script] = [
        await scratchDatabase(timescaleUrl),
        await scratchDatabase(timescaleUrl),
      ];
      await migrate.up({ target: run.url });
      expect(runPsql(script.url, await printUp(script, {})).code).toBe(0);
      expect(await schema.diff({ before: run.url, after: script.url })).toMatchObject({
        differences: [],
      });
      expect(await historyOf(script)).toEqual(await historyOf(run));
      expect((await migrate.status({ target: script.url })).isCurrent).toBe(true);
    },
  );
});

describe('the SQL of a run', () => {
  it('is the same each time, and changes nothing', async () => {
    const database = await scratchDatabase();
    const first = await printUp(database, writePairs(hard));
    expect(await printUp(database, writePairs(hard))).toBe(first);
    expect(first).not.toMatch(/20\d\d-\d\d-\d\d/);
    expect(await publicTables(database.sql)).toEqual([]);
    const [{ ledger }] = await database.sql<[{ ledger: string | null }]>`
      select to_regnamespace('cryptosense_db')::text as ledger`;
    expect(ledger).toBeNull();
  });

  it('is a comment where nothing is to do', async () => {
    const database = await scratchDatabase();
    const folders = fixture('recovery-chain');
    await migrate.up({ target: database.url, ...folders });
    expect(await printUp(database, folders)).toMatch(/^-- cryptosense-db \S+: nothing to do.*\n$/);
  });

  it('is refused outside a dry run, for a file that has run in part, and for an update of TimescaleDB', async () => {
    const database = await scratchDatabase();
    const target = database.url;
    const update = writePairs({
      '20260101_000100_update': ['ALTER EXTENSION timescaledb UPDATE;\n', 'SELECT 1;\n'],
    });
    await expect(migrate.up({ target, ...update, script: true })).rejects.toMatchObject({
      code: 'bad-configuration',
    });
    await expect(printUp(database, update)).rejects.toMatchObject({
      code: 'faulty-statements',
      details: { findings: [{ file: '20260101_000100_update.sql', rule: 'not-in-script' }] },
    });
    const partly = writePairs({
      '20260101_000100_part': [
        '-- Transaction: none\nCREATE TABLE part (id int);\nSELECT 1 / 0;\n',
        'DROP TABLE part;\n',
      ],
    });
    await expect(migrate.up({ target, ...partly })).rejects.toMatchObject({
      code: 'migration-failed',
    });
    await expect(printUp(database, partly)).rejects.toMatchObject({
      code: 'history-mismatch',
      details: { versions: ['20260101_000100'] },
    });
  });
});
