import { describe, expect, it } from 'vitest';
import * as migrate from '../../src/migrations/migrate.ts';
import { createScratchRole, type ScratchDatabase } from '../support/databases.ts';
import { fixture, temporaryFolder, writePairs } from '../support/fixtures.ts';
import {
  expectAgreement,
  loggedEvents,
  publicTables,
  recordedVersions,
  scratchDatabase,
} from '../support/recovery.ts';

const concurrentIndex = fixture('recovery-concurrent-index');
const version = '20260101_000100';
const header = '-- Transaction: none\n';

/** One migration that runs statement by statement; writing it again edits it. */
function statementByStatement(root: string) {
  return (up: readonly string[], down: readonly string[] = ['SELECT 1;']) =>
    writePairs(
      {
        [`${version}_change`]: [`${header}${up.join('\n')}\n`, `${header}${down.join('\n')}\n`],
      },
      root,
    );
}

async function stateOf({ url }: ScratchDatabase, folders: ReturnType<typeof writePairs>) {
  const { migrations } = await migrate.status({ target: url, ...folders });
  return migrations.map(({ state }) => state);
}

describe('a file without a transaction', () => {
  it('starts again with the statement that failed, and does not repeat the statements before it', async () => {
    const database = await scratchDatabase();
    const write = statementByStatement(temporaryFolder());
    const [create, insert] = [
      'CREATE TABLE tallies (n integer);',
      'INSERT INTO tallies VALUES (1);',
    ];
    const broken = write([create, insert, 'INSERT INTO tallies VALUES (1 / 0);', insert]);
    await expect(migrate.up({ target: database.url, ...broken })).rejects.toMatchObject({
      code: 'migration-failed',
      details: {
        version,
        completed: [],
        pending: [],
        sqlState: '22012',
        location: { file: `${version}_change.sql`, line: 4, column: 1 },
      },
    });
    expect(await stateOf(database, broken)).toEqual(['interrupted']);
    expect(await recordedVersions(database.sql)).toEqual([]);
    await expectAgreement(database.sql, broken);

    const corrected = write([create, insert, 'INSERT INTO tallies VALUES (2);', insert]);
    await migrate.up({ target: database.url, ...corrected });
    expect(await database.sql`select n from tallies order by n`).toEqual([
      { n: 1 },
      { n: 1 },
      { n: 2 },
    ]);
    expect(await stateOf(database, corrected)).toEqual(['applied']);
    expect(await loggedEvents(database.sql)).toEqual([`failure ${version}`, `apply ${version}`]);
  });

  it.each([
    ['edited', ['CREATE TABLE one (n bigint);', 'CREATE TABLE two (n integer);']],
    ['moved down', ['SELECT 1;', 'CREATE TABLE one (n integer);']],
    ['removed', ['CREATE TABLE two (n integer);']],
  ])('is refused when the statement that has run is %s', async (_edit, up) => {
    const database = await scratchDatabase();
    const write = statementByStatement(temporaryFolder());
    const broken = write(['CREATE TABLE one (n integer);', 'SELECT 1 / 0;']);
    await expect(migrate.up({ target: database.url, ...broken })).rejects.toMatchObject({});
    const edited = write(up);
    await expect(migrate.up({ target: database.url, ...edited })).rejects.toMatchObject({
      code: 'history-mismatch',
      details: { versions: [version] },
      problems: [{ hint: expect.stringContaining(`--forget ${version}`) }],
    });
    expect(await publicTables(database.sql)).toEqual(['one']);

    await database.sql`drop table one`;
    await migrate.repair({ target: database.url, ...edited, forget: [version] });
    await migrate.up({ target: database.url, ...edited });
    expect(await stateOf(database, edited)).toEqual(['applied']);
  });

  it('blocks every rollback while it is applied in part', async () => {
    const database = await scratchDatabase();
    const broken = statementByStatement(temporaryFolder())([
      'CREATE TABLE one ();',
      'SELECT 1 / 0;',
    ]);
    await expect(migrate.up({ target: database.url, ...broken })).rejects.toMatchObject({});
    await expect(migrate.down({ target: database.url, ...broken })).rejects.toMatchObject({
      code: 'history-mismatch',
      details: { versions: [version] },
    });
  });

  it('is continued by migrate down and refused by migrate up when it is rolled back in part', async () => {
    const database = await scratchDatabase();
    const write = statementByStatement(temporaryFolder());
    const folders = write(
      ['CREATE TABLE one ();', 'CREATE TABLE two ();'],
      ['DROP TABLE two;', 'DO $$ BEGIN PERFORM 1 FROM stop; END $$;', 'DROP TABLE one;'],
    );
    await migrate.up({ target: database.url, ...folders });
    await expect(migrate.down({ target: database.url, ...folders })).rejects.toMatchObject({
      code: 'migration-failed',
      details: { direction: 'down', location: { line: 3 } },
    });
    expect(await stateOf(database, folders)).toEqual(['interrupted']);
    await expectAgreement(database.sql, folders);
    await expect(migrate.up({ target: database.url, ...folders })).rejects.toMatchObject({
      code: 'history-mismatch',
    });
    await database.sql`create table stop ()`;
    await migrate.down({ target: database.url, ...folders });
    expect(await publicTables(database.sql)).toEqual(['stop']);
    expect(await recordedVersions(database.sql)).toEqual([]);
  });

  it('has its settings and its role in the run that continues it', async () => {
    const database = await scratchDatabase();
    const { sql, url } = database;
    const role = await createScratchRole(url);
    try {
      await sql.unsafe(`create schema own authorization ${role.name}`);
      const write = statementByStatement(temporaryFolder());
      const settings = [`SET ROLE ${role.name};`, 'SET search_path = own;'];
      const [one, two, three] = ['one', 'two', 'three'].map((name) => `CREATE TABLE ${name} ();`);
      const call = 'DO $$ BEGIN CREATE TABLE called (); END $$;';
      const broken = write([...settings, `${one}`, call, 'SELECT 1 / 0;', `${two}`]);
      await expect(migrate.up({ target: url, ...broken })).rejects.toMatchObject({
        details: { sqlState: '22012' },
      });
      await migrate.up({
        target: url,
        ...write([...settings, `${one}`, call, `${two}`, `${three}`]),
      });
      expect(
        await sql`select tablename, tableowner from pg_tables where schemaname = 'own' order by 1`,
      ).toEqual(
        ['called', 'one', 'three', 'two'].map((tablename) => ({
          tablename,
          tableowner: role.name,
        })),
      );
      expect(await sql`select applied_by from cryptosense_db.migrations`).toHaveLength(1);
    } finally {
      await sql.unsafe(`drop schema own cascade`);
      await role.drop();
    }
  });

  it('is refused after a partial run when its "-- Transaction: none" is removed', async () => {
    const database = await scratchDatabase();
    await database.sql`create table tallies (n integer)`;
    const root = temporaryFolder();
    const insert = 'INSERT INTO tallies VALUES (1);';
    const broken = statementByStatement(root)([insert, 'SELECT 1 / 0;']);
    await expect(migrate.up({ target: database.url, ...broken })).rejects.toMatchObject({
      code: 'migration-failed',
    });
    const edited = writePairs({ [`${version}_change`]: [`${insert}\n`, 'SELECT 1;\n'] }, root);
    await expect(migrate.up({ target: database.url, ...edited })).rejects.toMatchObject({
      code: 'history-mismatch',
      details: { versions: [version] },
      problems: [{ hint: expect.stringContaining(`--forget ${version}`) }],
    });
    expect(await database.sql`select n from tallies`).toEqual([{ n: 1 }]);
    expect(await recordedVersions(database.sql)).toEqual([]);
    expect(await stateOf(database, edited)).toEqual(['interrupted']);
  });

  it('blocks a baseline while it is applied in part', async () => {
    const database = await scratchDatabase();
    const broken = statementByStatement(temporaryFolder())([
      'CREATE TABLE one ();',
      'SELECT 1 / 0;',
    ]);
    await expect(migrate.up({ target: database.url, ...broken })).rejects.toMatchObject({});
    await expect(
      migrate.baseline({ target: database.url, ...broken, version }),
    ).rejects.toMatchObject({
      code: 'history-mismatch',
      problems: [{ evidence: [expect.stringContaining(version)] }],
    });
    expect(await recordedVersions(database.sql)).toEqual([]);
    expect(await stateOf(database, broken)).toEqual(['interrupted']);
  });

  it('is recorded with the duration of its run', async () => {
    const database = await scratchDatabase();
    const folders = statementByStatement(temporaryFolder())([
      'SELECT pg_sleep(0.1);',
      'DO $$ BEGIN PERFORM pg_sleep(0.1); END $$;',
    ]);
    const startedAt = performance.now();
    const { steps } = await migrate.up({ target: database.url, ...folders });
    const elapsedMs = performance.now() - startedAt;
    const [recorded] = await database.sql<{ durationMs: number }[]>`
      select duration_ms as "durationMs" from cryptosense_db.migrations`;
    expect(steps).toMatchObject([{ durationMs: recorded?.durationMs }]);
    expect(recorded?.durationMs).toBeGreaterThanOrEqual(200);
    expect(recorded?.durationMs).toBeLessThanOrEqual(elapsedMs);
  });

  it('may CALL a procedure that commits', async () => {
    const database = await scratchDatabase();
    const folders = statementByStatement(temporaryFolder())([
      'CREATE TABLE batches (n integer);',
      'CREATE PROCEDURE fill() LANGUAGE plpgsql AS $$ BEGIN FOR n IN 1..3 LOOP INSERT INTO batches VALUES (n); COMMIT; END LOOP; END $$;',
      'CALL fill();',
    ]);
    await migrate.up({ target: database.url, ...folders });
    expect(await database.sql`select from batches`).toHaveLength(3);
    expect(await stateOf(database, folders)).toEqual(['applied']);
  });
});

describe('an index that is built concurrently', () => {
  const build = 'CREATE UNIQUE INDEX CONCURRENTLY prices_price ON prices (price);';
  const table = [
    'CREATE TABLE prices (id integer, price integer);',
    'INSERT INTO prices VALUES (1, 1), (2, 1);',
  ];

  async function indexes({ sql }: ScratchDatabase) {
    return sql`
      select indexrelid::regclass::text as name, indisvalid as "isValid", pg_get_indexdef(indexrelid) as text
      from pg_index where indrelid = 'prices'::regclass`;
  }

  it('is dropped and built again by the next run when its build failed', async () => {
    const database = await scratchDatabase();
    const folders = statementByStatement(temporaryFolder())([...table, build]);
    await expect(migrate.up({ target: database.url, ...folders })).rejects.toMatchObject({
      details: { sqlState: '23505' },
    });
    expect(await indexes(database)).toMatchObject([{ name: 'prices_price', isValid: false }]);
    await database.sql`update prices set price = id`;
    await migrate.up({ target: database.url, ...folders });
    expect(await indexes(database)).toMatchObject([{ name: 'prices_price', isValid: true }]);
  });

  it('counts as built when the journal lacks the end of its build', async () => {
    const database = await scratchDatabase();
    await migrate.up({ target: database.url, ...concurrentIndex, steps: 1 });
    const { sql } = database;
    await sql`create index concurrently prices_id on prices (id)`;
    const { oid } = (await sql`select to_regclass('prices_id')::oid as oid`)[0] ?? {};
    await journalStarted(database, {
      position: 1,
      text: 'CREATE INDEX CONCURRENTLY prices_id ON prices (id)',
    });
    await migrate.up({ target: database.url, ...concurrentIndex });
    expect(await sql`select to_regclass('prices_id')::oid as oid`).toEqual([{ oid }]);
    expect(await recordedVersions(sql)).toHaveLength(2);
  });

  it('does not count as built when the journal lacks the end of its build and the file has changed', async () => {
    const database = await scratchDatabase();
    await migrate.up({ target: database.url, ...concurrentIndex, steps: 1 });
    await database.sql`create index concurrently prices_id on prices (price)`;
    await journalStarted(database, {
      position: 1,
      text: 'CREATE INDEX CONCURRENTLY prices_id ON prices (price)',
    });
    await expect(migrate.up({ target: database.url, ...concurrentIndex })).rejects.toMatchObject({
      code: 'history-mismatch',
    });
  });

  it.each([
    ['built under another name', 'CREATE INDEX CONCURRENTLY prices_other ON prices (price);'],
    ['edited', 'CREATE INDEX CONCURRENTLY prices_price ON prices (price);'],
    ['removed', 'SELECT 1;'],
  ])('leaves no invalid index when its build failed and is then %s', async (_, edited) => {
    const database = await scratchDatabase();
    const write = statementByStatement(temporaryFolder());
    const path = 'CREATE SCHEMA app; SET search_path = app;';
    const failing = write([path, ...table, build]);
    await expect(migrate.up({ target: database.url, ...failing })).rejects.toMatchObject({
      details: { sqlState: '23505' },
    });
    const folders = write([path, ...table, edited]);
    await migrate.up({ target: database.url, ...folders });
    expect(await database.sql`select from pg_index where not indisvalid`).toEqual([]);
    expect(await stateOf(database, folders)).toEqual(['applied']);
  });

  it('is built again where IF NOT EXISTS finds an invalid one', async () => {
    const database = await scratchDatabase();
    await invalidIndex(database);
    const folders = statementByStatement(temporaryFolder())([
      'CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS prices_price ON prices (price);',
    ]);
    await migrate.up({ target: database.url, ...folders });
    expect(await indexes(database)).toMatchObject([{ name: 'prices_price', isValid: true }]);
  });

  /** What a build of another tool leaves when it fails. */
  async function invalidIndex({ sql }: ScratchDatabase): Promise<void> {
    await sql.unsafe(table.join(''));
    await expect(sql.unsafe(build)).rejects.toMatchObject({ code: '23505' });
    await sql`update prices set price = id`;
  }

  it.each([
    ['IF NOT EXISTS', 'own', 'CREATE INDEX IF NOT EXISTS prices_price ON prices (price);'],
    ['IF NOT EXISTS', 'none', 'CREATE INDEX IF NOT EXISTS prices_price ON prices (price);'],
    ['REINDEX TABLE CONCURRENTLY', 'none', 'REINDEX TABLE CONCURRENTLY prices;'],
  ] as const)(
    'is refused where %s in a file of mode %s steps over an invalid one',
    async (_, mode, text) => {
      const database = await scratchDatabase();
      await invalidIndex(database);
      const folders =
        mode === 'none'
          ? statementByStatement(temporaryFolder())([text])
          : writePairs({ [`${version}_change`]: [`SELECT 1;\n${text}`, 'SELECT 1;'] });
      await expect(migrate.up({ target: database.url, ...folders })).rejects.toMatchObject({
        code: 'migration-failed',
        details: { sqlState: '55000', location: { line: 2 } },
        problems: [
          { hint: expect.stringContaining('drop index concurrently public.prices_price') },
        ],
      });
      expect(await recordedVersions(database.sql)).toEqual([]);
      await database.sql`drop index prices_price`;
      await migrate.up({ target: database.url, ...folders });
      expect(await recordedVersions(database.sql)).toEqual([version]);
    },
  );

  it('and becomes invalid later is a finding of the status', async () => {
    const database = await scratchDatabase();
    await migrate.up({ target: database.url, ...concurrentIndex });
    const current = await migrate.status({ target: database.url, ...concurrentIndex });
    expect(current).toMatchObject({ isCurrent: true, invalidIndexes: [] });
    await database.sql`
      update pg_index set indisvalid = false where indexrelid = 'prices_id'::regclass`;
    expect(await migrate.status({ target: database.url, ...concurrentIndex })).toMatchObject({
      isCurrent: false,
      invalidIndexes: [{ version: '20260101_000200', index: 'prices_id', table: 'prices' }],
    });
  });

  it('of a partitioned table is refused where it would take over an invalid one of a partition', async () => {
    const database = await scratchDatabase();
    const { sql, url } = database;
    await sql.unsafe(`create table p (b integer) partition by range (b);
      create table p1 partition of p for values from (1) to (9);
      insert into p values (1), (1)`);
    await expect(sql`create unique index concurrently p1_b on p1 (b)`).rejects.toThrow();
    await sql`update pg_index set indisunique = false where indexrelid = 'p1_b'::regclass`;
    const folders = writePairs({
      [`${version}_change`]: ['CREATE INDEX p_b ON p (b);', 'SELECT 1;'],
    });
    await expect(migrate.up({ target: url, ...folders })).rejects.toMatchObject({
      details: { sqlState: '55000' },
      problems: [{ hint: expect.stringContaining('reindex index concurrently public.p1_b') }],
    });
    await sql`reindex index concurrently p1_b`;
    await migrate.up({ target: url, ...folders });
    expect(await sql`select from pg_index where not indisvalid`).toEqual([]);
  });

  it('is a finding of the status under its new name, and no other index of its old name is', async () => {
    const database = await scratchDatabase();
    const { sql, url } = database;
    const folders = writePairs({
      '20260101_000000_a': ['CREATE TABLE t (a integer); CREATE INDEX t_i ON t (a);', 'SELECT 1;'],
      '20260101_000001_b': ['ALTER INDEX t_i RENAME TO t_old;', 'SELECT 1;'],
    });
    await migrate.up({ target: url, ...folders });
    await sql.unsafe(`create schema o; create table o.t (a integer);
      create index t_i on o.t (a); create index t_old on o.t (a); create index t_i on t (a);
      update pg_index set indisvalid = false where indrelid in ('t'::regclass, 'o.t'::regclass)`);
    const { invalidIndexes } = await migrate.status({ target: url, ...folders });
    expect(invalidIndexes).toMatchObject([
      { version: '20260101_000000', schema: 'public', index: 't_old' },
    ]);
  });

  it('is refused by every run while another index has its name', async () => {
    const database = await scratchDatabase();
    await migrate.up({ target: database.url, ...concurrentIndex, steps: 1 });
    await database.sql`create index prices_id on prices (price)`;
    for (const _ of [1, 2, 3]) {
      await expect(migrate.up({ target: database.url, ...concurrentIndex })).rejects.toMatchObject({
        details: { version: '20260101_000200', sqlState: '42P07' },
      });
    }
    expect(await recordedVersions(database.sql)).toEqual(['20260101_000100']);
    await database.sql`drop index prices_id`;
    await migrate.up({ target: database.url, ...concurrentIndex });
    expect(await indexes(database)).toMatchObject([
      { isValid: true, text: expect.stringContaining('(id)') },
    ]);
  });

  it('is dropped concurrently by its rollback, which accepts a missing index', async () => {
    const database = await scratchDatabase();
    await migrate.up({ target: database.url, ...concurrentIndex });
    await database.sql`drop index concurrently prices_id`;
    await database.sql`
      insert into cryptosense_db.migration_journal (version, direction, position, checksum)
      values ('20260101_000200', 'down', 0,
        encode(sha256('DROP INDEX CONCURRENTLY prices_id'), 'hex'))`;
    await migrate.down({ target: database.url, ...concurrentIndex });
    expect(await recordedVersions(database.sql)).toEqual(['20260101_000100']);
    await migrate.up({ target: database.url, ...concurrentIndex });
    await migrate.down({ target: database.url, ...concurrentIndex });
    expect(await indexes(database)).toEqual([]);
  });
});

/** The journal of a run that ended after a statement started and before the journal recorded its end. */
async function journalStarted(
  { sql }: ScratchDatabase,
  { position, text }: { readonly position: number; readonly text: string },
): Promise<void> {
  await sql`
    insert into cryptosense_db.migration_journal (version, direction, position, checksum)
    values ('20260101_000200', 'up', ${position}, encode(sha256(convert_to(${text}, 'UTF8')), 'hex'))`;
}

describe('a search path of the file that begins with a schema of another role', () => {
  /** In that schema, every name that the queries of the tool use raises an error. */
  async function trappedDatabase(): Promise<ScratchDatabase> {
    const database = await scratchDatabase();
    const types = ['oid', 'regclass', 'name', 'text', '"char"', 'integer', 'boolean'];
    const operators = types.flatMap((left) =>
      types.map(
        (right) =>
          `create operator app.= (leftarg = ${left}, rightarg = ${right}, function = app.trap)`,
      ),
    );
    await database.sql.unsafe(`
      create schema app;
      create function app.trap() returns boolean language plpgsql as $$ begin raise 'trapped'; end $$;
      ${types.flatMap((a) => types.map((b) => `create function app.trap(${a}, ${b}) returns boolean language plpgsql as $$ begin raise 'trapped'; end $$;`)).join('')}
      ${operators.join(';')};
      create function app.to_regclass(text) returns regclass language plpgsql as $$ begin raise 'trapped'; end $$;
      create view app.pg_index as select from pg_class where app.trap();
      create view app.pg_class as select from pg_index where app.trap();
      create view app.pg_inherits as select from pg_index where app.trap();
      create table public.prices (id integer);
      create index prices_id on public.prices (id);
      create table public.ticks (id integer) partition by range (id);
      create table public.ticks_1 partition of public.ticks for values from (1) to (2)`);
    return database;
  }

  it.each([
    'CREATE INDEX CONCURRENTLY IF NOT EXISTS prices_id ON public.prices (id);',
    'CREATE INDEX CONCURRENTLY prices_new ON prices (id);',
    'DROP INDEX CONCURRENTLY prices_id;',
    'REINDEX TABLE CONCURRENTLY prices;',
    'REINDEX SCHEMA CONCURRENTLY public;',
    'ALTER TABLE ticks DETACH PARTITION ticks_1 CONCURRENTLY;',
  ])('gives the queries of the tool no code of that role: %s', async (statement) => {
    const { sql, url } = await trappedDatabase();
    const path = 'SET search_path = app, pg_catalog, public;';
    const step = 'CREATE INDEX IF NOT EXISTS prices_id ON prices (id);';
    const folders = statementByStatement(temporaryFolder())([path, statement, step]);
    const checksum = (words: string) => sql`encode(sha256(${words}::bytea), 'hex')`;
    await migrate.up({ target: url, ...folders });
    await sql`
      insert into cryptosense_db.migration_journal (version, direction, position, checksum)
      values (${version}, 'up', 1, ${checksum(statement.slice(0, -1))})`;
    await sql`delete from cryptosense_db.migrations`;
    // The journal says that the statement was interrupted: the run looks at what stands.
    await migrate.up({ target: url, ...folders });
    expect(await recordedVersions(sql)).toEqual([version]);
  });
});
