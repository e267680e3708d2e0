import { afterEach, describe, expect, inject, it } from 'vitest';
import type { ProgressEvent } from '../../src/index.ts';
import * as migrate from '../../src/migrations/migrate.ts';
import { createScratchDatabase, type ScratchDatabase } from '../support/databases.ts';
import { type Folders, writePairs } from '../support/fixtures.ts';

/**
 * A migration, its history row, its COMMIT and the next one's BEGIN are sent together: whatever
 * fails among them, the history says what the schema is.
 */
let database: ScratchDatabase;
afterEach(() => database?.drop());

const version = (step: number) => `20260101_00000${step}`;

/** Files in order; each is a migration, or a migration with its rollback. */
function folders(...files: readonly (string | readonly [up: string, down: string])[]): Folders {
  const pairs = files.map((file, index) => {
    const [up, down] = typeof file === 'string' ? [file, 'select 1;'] : file;
    return [`${version(index + 1)}_step`, [up, down]] as const;
  });
  return writePairs(Object.fromEntries(pairs));
}

async function scratch(): Promise<ScratchDatabase> {
  database = await createScratchDatabase(inject('postgresUrl'));
  return database;
}

async function state() {
  const tables = await database.sql<{ name: string }[]>`
    select table_name as name from information_schema.tables where table_schema = 'public' order by 1`;
  const history = await database.sql<{ version: string }[]>`
    select version from cryptosense_db.migrations order by 1`;
  return {
    tables: tables.map(({ name }) => name),
    applied: history.map((row) => row.version),
  };
}

const codeOf = (run: Promise<unknown>) =>
  run.then(
    () => 'done',
    (error: { readonly code: string }) => error.code,
  );

describe('a statement that failed before a ROLLBACK TO', () => {
  const file = (middle: string) =>
    `savepoint a; ${middle}; rollback to savepoint a; create table t2 ();`;

  it('fails its migration, though the transaction is sound again', async () => {
    const { url: target } = await scratch();
    const files = folders('create table t1 ();', file('select 1/0'), 'create table t3 ();');
    expect(await codeOf(migrate.up({ target, ...files }))).toBe('migration-failed');
    expect(await state()).toEqual({ tables: ['t1'], applied: [version(1)] });
  });

  it('in the middle of a single transaction takes everything back', async () => {
    const { url: target } = await scratch();
    const files = folders('create table t1 ();', file('select 1/0'));
    const run = migrate.up({ target, ...files, singleTransaction: true });
    expect(await codeOf(run)).toBe('migration-failed');
    expect(await state()).toEqual({ tables: [], applied: [] });
  });

  it('hinders nothing where it did not fail', async () => {
    const { url: target } = await scratch();
    const files = folders('create table t1 ();', file('create table gone ()'));
    expect(await codeOf(migrate.up({ target, ...files }))).toBe('done');
    expect(await state()).toEqual({ tables: ['t1', 't2'], applied: [version(1), version(2)] });
  });
});

describe('what takes the prepared history write away', () => {
  const deallocate = "do $$ begin execute 'deallocate all'; end $$;";

  it('on the way up leaves nothing recorded that did not commit', async () => {
    const { url: target } = await scratch();
    const files = folders(
      'create table t1 ();',
      `create table t2 (); ${deallocate}`,
      'create table t3 ();',
    );
    expect(await codeOf(migrate.up({ target, ...files }))).toBe('migration-failed');
    expect(await state()).toEqual({ tables: ['t1'], applied: [version(1)] });
  });

  it('on the way down leaves nothing forgotten that is still there', async () => {
    const { url: target } = await scratch();
    const files = folders(
      ['create table t1 ();', 'drop table t1;'],
      ['create table t2 ();', `drop table t2; ${deallocate}`],
      ['create table t3 ();', 'drop table t3;'],
    );
    await migrate.up({ target, ...files });
    expect(await codeOf(migrate.down({ target, ...files, all: true }))).toBe('migration-failed');
    expect(await state()).toEqual({ tables: ['t1', 't2'], applied: [version(1), version(2)] });
  });
});

describe('a definition that runs code, or belongs to the session', () => {
  it('leaves no type behind for the next file', async () => {
    const { url: target } = await scratch();
    const files = folders(
      "create table t1 (); create type pg_temp.mood as enum ('a');",
      'create table t2 (m mood);',
    );
    expect(await codeOf(migrate.up({ target, ...files }))).toBe('migration-failed');
    expect(await state()).toEqual({ tables: ['t1'], applied: [version(1)] });
  });

  it('leaves no setting behind for the next file', async () => {
    const { url: target } = await scratch();
    const files = folders(
      'create table t1 (a text) partition by list (a);',
      `create table t2 partition of t1
        for values in (set_config('search_path', 'pg_catalog', false));`,
      'create table t3 ();',
    );
    expect(await codeOf(migrate.up({ target, ...files }))).toBe('done');
  });

  it('at COMMIT cannot give the lock of the run away unnoticed', async () => {
    const { url: target } = await scratch();
    const files = folders(
      `create table t1 (a integer);
       create function give_away() returns trigger language plpgsql as $$
       begin perform pg_advisory_unlock_all(); return null; end $$;
       create constraint trigger late after insert on t1 deferrable initially deferred
         for each row execute function give_away();
       insert into t1 values (1);`,
      'create table t2 ();',
    );
    expect(await codeOf(migrate.up({ target, ...files }))).toBe('faulty-statements');
    expect(await state()).toEqual({ tables: ['t1'], applied: [version(1)] });
  });
});

describe('what is told of a failure', () => {
  it('is the failure, without the server’s remark that nothing was left to roll back', async () => {
    const { url: target } = await scratch();
    const events: ProgressEvent[] = [];
    const run = migrate.up({
      target,
      ...folders('select 1/0;'),
      onProgress: (event) => events.push(event),
    });
    expect(await codeOf(run)).toBe('migration-failed');
    expect(events.filter(({ kind }) => kind === 'notice')).toEqual([]);
  });

  it('is that the file left its transaction, when a rollback clears the mark of it', async () => {
    const { url: target } = await scratch();
    const files = folders(['create table t1 ();', 'drop table t1; reset all;']);
    await migrate.up({ target, ...files });
    expect(await codeOf(migrate.down({ target, ...files }))).toBe('faulty-statements');
    expect(await state()).toEqual({ tables: ['t1'], applied: [version(1)] });
  });

  it('keeps the rollback’s letters, whatever encoding the file has set', async () => {
    const { url: target, sql } = await scratch();
    const rollback = "comment on table t1 is 'été'; drop table t1;";
    const files = folders(["create table t1 (); set client_encoding = 'LATIN1';", rollback]);
    await migrate.up({ target, ...files });
    expect(await sql`select rollback_sql as text from cryptosense_db.migrations`).toEqual([
      { text: rollback },
    ]);
  });
});
