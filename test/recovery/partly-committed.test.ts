import { describe, expect, inject, it } from 'vitest';
import * as migrate from '../../src/migrations/migrate.ts';
import { connect, type ScratchDatabase } from '../support/databases.ts';
import { type Folders, temporaryFolder, writePairs } from '../support/fixtures.ts';
import { closeGate, publicTables, scratchDatabase, until } from '../support/recovery.ts';

const version = '20260101_000100';
const gate = 'PERFORM pg_advisory_xact_lock_shared(1)';

/** One migration that runs statement by statement, and a rollback that does nothing. */
function write(up: readonly string[], root = temporaryFolder()): Folders {
  const text = `-- Transaction: none\n${up.join('\n')}\n`;
  return writePairs({ [`${version}_change`]: [text, 'SELECT 1;\n'] }, root);
}

async function stateOf({ url }: ScratchDatabase, folders: Folders) {
  const { migrations } = await migrate.status({ target: url, ...folders });
  return migrations.map(({ state }) => state);
}

const up = ({ url }: ScratchDatabase, folders: Folders) =>
  migrate.up({ target: url, ...folders, tableLockTimeoutMs: 600_000 });

/** Cancels a run once the probe finds it where it is meant to stop. */
async function interrupt(
  { url }: ScratchDatabase,
  folders: Folders,
  isThere: () => Promise<unknown>,
): Promise<void> {
  const stop = new AbortController();
  const run = migrate.up({
    target: url,
    ...folders,
    signal: stop.signal,
    tableLockTimeoutMs: 600_000,
  });
  const ended = expect(run).rejects.toMatchObject({ code: 'interrupted' });
  await until('the statement waits', isThere);
  stop.abort();
  await ended;
}

/** Holds a table lock while the run is interrupted: CONCURRENTLY waits for it, half done. */
async function interruptBehind(
  database: ScratchDatabase,
  folders: Folders,
  { lock, waiting }: { readonly lock: string; readonly waiting: string },
): Promise<void> {
  const other = connect(database.url, 1);
  try {
    await other.unsafe(`begin; ${lock}`);
    await interrupt(database, folders, async () => {
      const [found] = await database.sql`
        select from pg_stat_activity where query ilike ${`${waiting}%`}
          and wait_event_type = 'Lock' and datname = current_database()`;
      return found;
    });
  } finally {
    await other.end({ timeout: 1 });
  }
}

async function invalidIndexes({ sql }: ScratchDatabase): Promise<readonly string[]> {
  const rows = await sql<{ name: string }[]>`
    select indexrelid::regclass::text as name from pg_index where not indisvalid order by 1`;
  return rows.map(({ name }) => name);
}

describe('a procedure that commits a part of its work', () => {
  const table = 'CREATE TABLE tallies (n integer);';
  const procedure = (rest: string) =>
    `CREATE PROCEDURE fill() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO tallies VALUES (1); COMMIT; ${rest}; INSERT INTO tallies VALUES (2); END $$;`;

  async function expectUnknown(database: ScratchDatabase, folders: Folders): Promise<void> {
    expect(await stateOf(database, folders)).toEqual(['interrupted']);
    for (const _ of [1, 2]) {
      await expect(up(database, folders)).rejects.toMatchObject({
        code: 'history-mismatch',
        details: { versions: [version] },
        problems: [
          {
            message: expect.stringContaining('statement 3'),
            hint: expect.stringContaining(`--repeat ${version}`),
          },
        ],
      });
    }
    expect(await database.sql`select n from tallies`).toEqual([{ n: 1 }]);
  }

  it('and is interrupted is not repeated until a person says so', async () => {
    const database = await scratchDatabase();
    const folders = write([table, procedure(gate), 'CALL fill();', 'CREATE TABLE last ();']);
    const closed = await closeGate(database, 1);
    await interrupt(database, folders, closed.reached);
    await closed.open();
    await expectUnknown(database, folders);
    const { migrations } = await migrate.status({ target: database.url, ...folders });
    expect(migrations).toMatchObject([
      { interruption: { direction: 'up', finished: 2, started: { statement: 3 } } },
    ]);
    await expect(migrate.down({ target: database.url, ...folders })).rejects.toMatchObject({
      code: 'history-mismatch',
    });

    await database.sql`truncate tallies`;
    const repaired = { target: database.url, ...folders, repeat: [version] };
    expect(await migrate.repair(repaired)).toMatchObject({ repaired: [], toRepeat: [version] });
    await up(database, folders);
    expect(await database.sql`select n from tallies order by n`).toEqual([{ n: 1 }, { n: 2 }]);
    expect(await stateOf(database, folders)).toEqual(['applied']);
    await expect(migrate.repair(repaired)).rejects.toMatchObject({ code: 'unknown-version' });
  });

  it('and fails is not repeated until a person says so, or counts as finished', async () => {
    const database = await scratchDatabase();
    const folders = write([
      table,
      procedure('PERFORM 1 / 0'),
      'CALL fill();',
      'CREATE TABLE last ();',
    ]);
    await expect(up(database, folders)).rejects.toMatchObject({
      code: 'migration-failed',
      details: { sqlState: '22012', location: { line: 4 } },
      problems: [{ hint: expect.stringContaining(`--finish ${version}`) }],
    });
    await expectUnknown(database, folders);
    await migrate.repair({ target: database.url, ...folders, finish: [version] });
    await up(database, folders);
    expect(await publicTables(database.sql)).toEqual(['last', 'tallies']);
    expect(await database.sql`select n from tallies`).toEqual([{ n: 1 }]);
  });

  it('is repeated by the next run when it failed before its first commit', async () => {
    const database = await scratchDatabase();
    const root = temporaryFolder();
    const failing = write(['CALL fill();'], root);
    await expect(up(database, failing)).rejects.toMatchObject({ details: { sqlState: '42883' } });
    expect(await stateOf(database, failing)).toEqual(['pending']);
    await database.sql.unsafe(`${table} ${procedure('PERFORM 1')}`);
    await up(database, failing);
    expect(await database.sql`select from tallies`).toHaveLength(2);
  });

  it('is not repeated either when the file was edited since', async () => {
    const database = await scratchDatabase();
    const root = temporaryFolder();
    const before = [table, procedure('PERFORM 1 / 0')];
    const failing = write([...before, 'CALL fill();'], root);
    await expect(up(database, failing)).rejects.toMatchObject({ code: 'migration-failed' });
    const index = 'CREATE INDEX CONCURRENTLY tallies_n ON tallies (n);';
    for (const after of [
      [],
      ['CALL fill ();'],
      [index],
      ['VACUUM;'],
      ['CREATE TABLE last ();', 'CALL fill();'],
    ]) {
      await expect(up(database, write([...before, ...after], root))).rejects.toMatchObject({
        code: 'history-mismatch',
      });
    }
    expect(await publicTables(database.sql)).toEqual(['tallies']);
  });
});

describe('a statement that is interrupted half done', () => {
  const table = [
    'CREATE TABLE prices (id integer, price text);',
    'CREATE INDEX prices_id ON prices (id);',
  ];

  it.each([
    'REINDEX TABLE CONCURRENTLY prices;',
    'REINDEX (CONCURRENTLY) INDEX prices_id;',
    'REINDEX SCHEMA CONCURRENTLY public;',
  ])('leaves copies of indexes, which the next run drops: %s', async (reindex) => {
    const database = await scratchDatabase();
    await database.sql.unsafe(table.join(''));
    const folders = write([reindex]);
    await interruptBehind(database, folders, {
      lock: 'lock table prices in row exclusive mode',
      waiting: 'REINDEX',
    });
    expect(await invalidIndexes(database)).toContain('prices_id_ccnew');
    expect(await stateOf(database, folders)).toEqual(['interrupted']);
    await up(database, folders);
    expect(await invalidIndexes(database)).toEqual([]);
    expect(await stateOf(database, folders)).toEqual(['applied']);
  });

  it('is finished by the next run: DETACH PARTITION CONCURRENTLY', async () => {
    const database = await scratchDatabase();
    await database.sql.unsafe(`
      create table ticks (id integer) partition by range (id);
      create table ticks_1 partition of ticks for values from (1) to (2)`);
    const folders = write([
      'ALTER TABLE ticks DETACH PARTITION ticks_1 CONCURRENTLY;',
      'CREATE TABLE last ();',
    ]);
    await interruptBehind(database, folders, {
      lock: 'select from ticks',
      waiting: 'ALTER TABLE ticks',
    });
    expect(await database.sql`select inhdetachpending as pending from pg_inherits`).toEqual([
      { pending: true },
    ]);
    expect(await stateOf(database, folders)).toEqual(['interrupted']);
    await up(database, folders);
    expect(await database.sql`select from pg_inherits`).toEqual([]);
    expect(await publicTables(database.sql)).toEqual(['last', 'ticks', 'ticks_1']);
  });

  it('keeps its entry when statements are added before it', async () => {
    const database = await scratchDatabase();
    const root = temporaryFolder();
    const build = 'CREATE UNIQUE INDEX CONCURRENTLY prices_price ON prices (price);';
    const insert = "INSERT INTO prices VALUES (1, 'a'), (2, 'a');";
    const failing = write([...table, insert, build], root);
    await expect(up(database, failing)).rejects.toMatchObject({ details: { sqlState: '23505' } });
    expect(await invalidIndexes(database)).toEqual(['prices_price']);
    await up(database, write([...table, insert, 'DELETE FROM prices WHERE id = 2;', build], root));
    expect(await invalidIndexes(database)).toEqual([]);
    expect(await database.sql`select to_regclass('prices_price')::text as name`).toEqual([
      { name: 'prices_price' },
    ]);
  });
});

const noServer = inject('timescaleUrl') ? '' : ' (skipped: no server with TimescaleDB)';

describe.skipIf(noServer !== '')(`an update of TimescaleDB${noServer}`, () => {
  const update = 'ALTER EXTENSION timescaledb UPDATE;';
  const table = (name: string) =>
    `CREATE TABLE ${name} (time timestamptz NOT NULL); SELECT create_hypertable('${name}', 'time');`;
  const folders = (header: string) =>
    writePairs({
      '20260101_000100_a': ['CREATE EXTENSION timescaledb;', 'SELECT 1;'],
      '20260101_000200_b': [table('one'), 'SELECT 1;'],
      '20260101_000300_c': [`${header}${update} ${table('two')}`, 'SELECT 1;'],
      '20260101_000400_d': [`${header}${update}`, 'SELECT 1;'],
      '20260101_000500_e': [table('three'), 'SELECT 1;'],
      '20260101_000600_f': ['SELECT 1 / 0;', 'SELECT 1;'],
    });

  it.each(['-- Transaction: none\n', ''])(
    'runs in a session that has not loaded it, after the header %j',
    async (header) => {
      const database = await scratchDatabase(inject('timescaleUrl'));
      const { steps } = await migrate.up({ target: database.url, ...folders(header), steps: 5 });
      expect(steps).toHaveLength(5);
      expect(await publicTables(database.sql)).toEqual(['one', 'three', 'two']);
      await expect(up(database, folders(header))).rejects.toMatchObject({
        details: { completed: [] },
      });
    },
  );

  it('is followed by other sessions, whose failure names all that was applied', async () => {
    const database = await scratchDatabase(inject('timescaleUrl'));
    await expect(up(database, folders(''))).rejects.toMatchObject({
      code: 'migration-failed',
      details: { version: '20260101_000600', completed: { length: 5 }, pending: [] },
    });
  });

  it('does not share a transaction with other migrations', async () => {
    const database = await scratchDatabase(inject('timescaleUrl'));
    await expect(
      migrate.up({ target: database.url, ...folders(''), singleTransaction: true }),
    ).rejects.toMatchObject({
      code: 'faulty-statements',
      details: { findings: [{ rule: 'own-session' }, { rule: 'own-session' }] },
    });
  });
});

it.skipIf(noServer !== '')(
  `REINDEX CONCURRENTLY of a hypertable that is interrupted is finished by the next run${noServer}`,
  async () => {
    const database = await scratchDatabase(inject('timescaleUrl'));
    await database.sql.unsafe(`create extension timescaledb;
      create table prices (time timestamptz not null, price integer);
      select create_hypertable('prices', 'time');
      insert into prices values ('2024-01-01', 1)`);
    const folders = write(['REINDEX SCHEMA CONCURRENTLY public;']);
    await interruptBehind(database, folders, {
      lock: 'lock table prices in row exclusive mode',
      waiting: 'REINDEX',
    });
    expect(await invalidIndexes(database)).toEqual(['prices_time_idx_ccnew']);
    await up(database, folders);
    expect(await invalidIndexes(database)).toEqual([]);
    expect(await stateOf(database, folders)).toEqual(['applied']);
  },
);

it('the clean-up of an interrupted statement that the server refuses says what was refused', async () => {
  const database = await scratchDatabase();
  const { sql } = database;
  await sql.unsafe('create table prices (id integer); insert into prices values (1), (1)');
  const folders = write(['CREATE UNIQUE INDEX CONCURRENTLY prices_id ON prices (id);']);
  await expect(up(database, folders)).rejects.toMatchObject({ details: { sqlState: '23505' } });
  await sql.unsafe(`create function refuse() returns event_trigger language plpgsql as $$
      begin raise 'no index is dropped today'; end $$;
    create event trigger refuse on sql_drop execute function refuse()`);
  await expect(up(database, folders)).rejects.toMatchObject({
    code: 'migration-failed',
    problems: [
      {
        evidence: expect.arrayContaining([
          expect.stringContaining('drop index concurrently if exists "public"."prices_id"'),
        ]),
        hint: 'remove the invalid index by hand, then run the command again',
      },
    ],
  });
});

describe.skipIf(noServer !== '')(`a continuous aggregate WITH DATA${noServer}`, () => {
  const create =
    "CREATE MATERIALIZED VIEW daily WITH (timescaledb.continuous) AS SELECT time_bucket('1 day', time) AS day, sum(gated(price)) AS total FROM prices GROUP BY 1;";

  async function pricesDatabase() {
    const database = await scratchDatabase(inject('timescaleUrl'));
    await database.sql.unsafe(`
      create extension timescaledb;
      create table prices (time timestamptz not null, price integer);
      select create_hypertable('prices', 'time');
      insert into prices select at, 1
        from generate_series('2024-01-01 00:00Z'::timestamptz, '2024-01-03 23:00Z', '1 hour') at;
      create function gated(price integer) returns integer language plpgsql immutable as $$
      begin
        perform pg_advisory_xact_lock_shared(1);
        return price;
      end $$`);
    return database;
  }

  it('that is interrupted in its refresh is refreshed by the next run', async () => {
    const database = await pricesDatabase();
    const folders = write([create, 'CREATE TABLE last ();']);
    const closed = await closeGate(database, 1);
    await interrupt(database, folders, closed.reached);
    await closed.open();
    expect(await database.sql`select from daily`).toHaveLength(0);
    expect(await stateOf(database, folders)).toEqual(['interrupted']);
    await expect(migrate.down({ target: database.url, ...folders })).rejects.toMatchObject({
      code: 'history-mismatch',
    });
    await up(database, folders);
    expect(await stateOf(database, folders)).toEqual(['applied']);
    expect(await database.sql`select total::integer from daily order by day`).toEqual([
      { total: 24 },
      { total: 24 },
      { total: 24 },
    ]);
  });

  it('that was edited after its interruption is refused by every run until the view is gone', async () => {
    const database = await pricesDatabase();
    const root = temporaryFolder();
    const closed = await closeGate(database, 1);
    await interrupt(database, write([create], root), closed.reached);
    await closed.open();
    const edited = write([create.replace('AS total', 'AS sum')], root);
    for (const _ of [1, 2]) {
      await expect(up(database, edited)).rejects.toMatchObject({
        code: 'history-mismatch',
        problems: [{ evidence: [expect.stringContaining('public.daily'), expect.anything()] }],
      });
      expect(await stateOf(database, edited)).toEqual(['interrupted']);
    }
    await database.sql`drop materialized view daily`;
    await up(database, edited);
    expect(await database.sql`select sum from daily`).toHaveLength(3);
  });

  it('under a name that is taken leaves nothing behind, and is refused by every run', async () => {
    const database = await pricesDatabase();
    // A database with a history: without one, the existing view is refused before any statement runs.
    const root = temporaryFolder();
    await up(
      database,
      writePairs({ '20260101_000000_first': ['SELECT 1;\n', 'SELECT 1;\n'] }, root),
    );
    await database.sql`create view daily as select 1 as day`;
    const folders = write([create], root);
    for (const _ of [1, 2]) {
      await expect(up(database, folders)).rejects.toMatchObject({ details: { sqlState: '42P07' } });
      expect(await stateOf(database, folders)).toEqual(['applied', 'pending']);
    }
  });
});
