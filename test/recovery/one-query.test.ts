import { afterEach, describe, expect, inject, it } from 'vitest';
import type { ProgressEvent } from '../../src/index.ts';
import * as migrate from '../../src/migrations/migrate.ts';
import { createScratchDatabase, type ScratchDatabase } from '../support/databases.ts';
import { errorOf } from '../support/errors.ts';
import { type Folders, writePairs } from '../support/fixtures.ts';
import { until } from '../support/recovery.ts';

/**
 * A migration goes to the server as one query with its history row and COMMIT. Wherever it fails, the history
 * agrees with the schema, and no later migration has run.
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

describe('a statement that fails before a ROLLBACK TO', () => {
  const file = (middle: string) =>
    `savepoint a; ${middle}; rollback to savepoint a; create table t2 ();`;

  it('fails its migration, although ROLLBACK TO would let the transaction continue', async () => {
    const { url: target } = await scratch();
    const files = folders('create table t1 ();', file('select 1/0'), 'create table t3 ();');
    expect(await codeOf(migrate.up({ target, ...files }))).toBe('migration-failed');
    expect(await state()).toEqual({ tables: ['t1'], applied: [version(1)] });
  });

  it('rolls all migrations back when they share a single transaction', async () => {
    const { url: target } = await scratch();
    const files = folders('create table t1 ();', file('select 1/0'));
    const run = migrate.up({ target, ...files, singleTransaction: true });
    expect(await codeOf(run)).toBe('migration-failed');
    expect(await state()).toEqual({ tables: [], applied: [] });
  });

  it('is followed by the rest of the file when it does not fail', async () => {
    const { url: target } = await scratch();
    const files = folders('create table t1 ();', file('create table gone ()'));
    expect(await codeOf(migrate.up({ target, ...files }))).toBe('done');
    expect(await state()).toEqual({ tables: ['t1', 't2'], applied: [version(1), version(2)] });
  });
});

describe('a file that deallocates all prepared statements in a DO block', () => {
  it('is applied, rolled back and recorded', async () => {
    const { url: target } = await scratch();
    const deallocate = "do $$ begin execute 'deallocate all'; end $$;";
    const files = folders(
      ['create table t1 ();', `drop table t1; ${deallocate}`],
      [`create table t2 (); ${deallocate}`, 'drop table t2;'],
      ['create table t3 ();', 'drop table t3;'],
    );
    expect(await codeOf(migrate.up({ target, ...files }))).toBe('done');
    expect(await state()).toEqual({
      tables: ['t1', 't2', 't3'],
      applied: [version(1), version(2), version(3)],
    });
    expect(await codeOf(migrate.down({ target, ...files, all: true }))).toBe('done');
    expect(await state()).toEqual({ tables: [], applied: [] });
  });
});

describe('a definition that runs code or exists in the session only', () => {
  it('leaves no temporary type to the next file', async () => {
    const { url: target } = await scratch();
    const files = folders(
      "create table t1 (); create type pg_temp.mood as enum ('a');",
      'create table t2 (m mood);',
    );
    expect(await codeOf(migrate.up({ target, ...files }))).toBe('migration-failed');
    expect(await state()).toEqual({ tables: ['t1'], applied: [version(1)] });
  });

  it('leaves no setting to the next file', async () => {
    const { url: target } = await scratch();
    const files = folders(
      'create table t1 (a text) partition by list (a);',
      `create table t2 partition of t1
        for values in (set_config('search_path', 'pg_catalog', false));`,
      'create table t3 ();',
    );
    expect(await codeOf(migrate.up({ target, ...files }))).toBe('done');
  });

  it('fails its migration when a deferred trigger releases the lock of the run', async () => {
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
    expect(await state()).toEqual({ tables: [], applied: [] });
  });
});

describe('the next migration', () => {
  /** A rollback does not give the values of a sequence back, so the sequence shows that nextval ran. */
  const numbers = ['create sequence numbers;', "select nextval('numbers');"] as const;
  const hasRun = async () => {
    const [row] = await database.sql<[{ isCalled: boolean }]>`
      select is_called as "isCalled" from numbers`;
    return row.isCalled;
  };

  it.each([
    ['fails', 'create table t1 (); select 1/0;'],
    [
      'has a function that the server does not know',
      'create table t1 (a integer default no_such());',
    ],
    ['fails in its second query', `${'select 1;'.repeat(100)} select 1/0;`],
    [
      'fails in a deferred constraint',
      `create table t1 (a integer unique deferrable initially deferred);
       insert into t1 values (1), (1);`,
    ],
    ['leaves its transaction', "do $$ begin execute 'reset all'; end $$;"],
  ])('does not run when the one before it %s', async (_how, failing) => {
    const { url: target } = await scratch();
    const files = folders(numbers[0], failing, numbers[1], 'create table t3 ();');
    expect(await codeOf(migrate.up({ target, ...files }))).not.toBe('done');
    expect(await hasRun()).toBe(false);
    expect(await state()).toEqual({ tables: [], applied: [version(1)] });
  });

  it('is not sent before the one before it has finished', async () => {
    const { url: target, sql } = await scratch();
    const stop = new AbortController();
    const files = folders(numbers[0], numbers[1]);
    const run = migrate.up({
      target,
      ...files,
      signal: stop.signal,
      onProgress: ({ kind }) => kind === 'step-finished' && stop.abort(),
    });
    await expect(run).rejects.toMatchObject({
      code: 'interrupted',
      details: { completed: [version(1)], pending: [version(2)] },
    });
    await until('the session has ended', async () => {
      const sessions = await sql`
        select from pg_stat_activity
        where application_name = 'cryptosense-db' and datname = current_database()`;
      return sessions.length === 0;
    });
    expect(await hasRun()).toBe(false);
    expect(await state()).toMatchObject({ applied: [version(1)] });
  });

  it('runs after the retries of the one before it', async () => {
    const { url: target, sql } = await scratch();
    const files = folders(
      `${numbers[0]} create table t1 ();`,
      'alter table t1 add a integer;',
      numbers[1],
    );
    await migrate.up({ target, ...files, to: version(1) });
    const holder = await sql.reserve();
    await holder`begin`;
    await holder`lock table t1`;
    const events: ProgressEvent[] = [];
    await migrate.up({
      target,
      ...files,
      tableLockTimeoutMs: 50,
      onProgress: (event) => {
        events.push(event);
        if (event.kind === 'step-retried') holder.unsafe('commit').execute();
      },
    });
    holder.release();
    const [row] = await sql<[{ last: string }]>`select last_value as last from numbers`;
    expect(row.last).toBe('1');
    const steps = events.flatMap((event) =>
      'step' in event ? [`${event.kind} ${event.step.index}`] : [],
    );
    expect(steps).toEqual([
      'step-started 1',
      'step-retried 1',
      'step-finished 1',
      'step-started 2',
      'step-finished 2',
    ]);
  });

  it('starts and raises its notices after the one before it has finished', async () => {
    const { url: target } = await scratch();
    const raise = (word: string) => `do $$ begin raise notice '${word}'; end $$;`;
    const events: string[] = [];
    await migrate.up({
      target,
      ...folders(raise('one'), raise('two')),
      onProgress: (event) => {
        if (event.kind === 'notice') events.push(event.message);
        if (event.kind === 'step-started') events.push(`start of ${event.step.index}`);
        if (event.kind === 'step-finished') events.push(`end of ${event.step.index}`);
      },
    });
    expect(events).toEqual(['start of 1', 'one', 'end of 1', 'start of 2', 'two', 'end of 2']);
  });

  it('runs after files that are too large for one query', async () => {
    const { url: target } = await scratch();
    const tables = (from: number, count: number) =>
      Array.from({ length: count }, (_, index) => `create table t${from + index} ();`).join(' ');
    const files = folders(tables(1000, 200), tables(2000, 1), tables(3000, 65), tables(4000, 1));
    expect(await codeOf(migrate.up({ target, ...files }))).toBe('done');
    expect((await state()).tables).toHaveLength(267);
  });
});

describe('a file that is sent as one query', () => {
  it('is read under its own settings, and leaves none of them to the next file', async () => {
    const { url: target, sql } = await scratch();
    const files = folders(
      `create table t1 (a text);
       set standard_conforming_strings = off; set escape_string_warning = off;
       insert into t1 values ('a\\tb');`,
      "insert into t1 values ('c\\td');",
    );
    // Both files parse: the grammar reads a backslash as a letter.
    await migrate.up({ target, ...files });
    expect(await sql`select a from t1 order by a`).toEqual([{ a: 'a\tb' }, { a: 'c\\td' }]);
  });

  it('runs deferred triggers under its own settings', async () => {
    const { url: target, sql } = await scratch();
    const files = folders(
      `create schema other;
       create table other.seen ();
       create table t1 ();
       create function see() returns trigger language plpgsql as $$
       begin insert into seen default values; return null; end $$;
       create constraint trigger late after insert on t1 deferrable initially deferred
         for each row execute function see();
       set search_path = other, public;
       insert into t1 default values;`,
    );
    await migrate.up({ target, ...files });
    expect(await sql`select from other.seen`).toHaveLength(1);
  });

  it('can have deferred constraints on a temporary table', async () => {
    const { url: target } = await scratch();
    const files = folders(
      `create temp table rows (a integer unique deferrable initially deferred);
       insert into rows values (1);`,
      'create table t1 ();',
    );
    expect(await codeOf(migrate.up({ target, ...files }))).toBe('done');
  });

  it.each([
    ['at run time', ['select 1;', "select 'é' || 1/0;"], 2, 1],
    ['at a position that the server reports', ['select 1;', "select 'é', no_such;"], 2, 13],
    ['in a deferred constraint', ['insert into d values (1), (1);', 'select 2;'], 2, 1],
    ['in the second of several queries', [...Array(100).fill('select 1;'), 'select 1/0;'], 101, 1],
  ])('reports the line and column of a failure %s', async (_where, lines, line, column) => {
    const { url: target } = await scratch();
    const table = 'create table d (a integer unique deferrable initially deferred);';
    const files = folders(table, lines.join('\n'));
    const error = await migrate.up({ target, ...files }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      code: 'migration-failed',
      details: { version: version(2), location: { line, column } },
    });
  });

  it('reports the failing EXECUTE when the server reports a position in its PREPARE', async () => {
    const { url: target } = await scratch();
    const files = folders(
      `create table d (a integer);
       prepare p as select a from d;
       alter table d drop column a;
       execute p;`,
    );
    const error = await migrate.up({ target, ...files }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ details: { location: { line: 4, column: 8 } } });
  });

  it('reports the line and column when the server counts bytes', async () => {
    const { sql, url } = await scratch();
    const name = `${new URL(url).pathname.slice(1)}_ascii`;
    await sql.unsafe(`create database ${name} encoding 'SQL_ASCII' locale 'C' template template0`);
    const target = url.replace(/[^/]+$/, name);
    try {
      const files = folders("select 'ééééé';\nselect 'é', no_such;\ncreate table t1 ();");
      const error = await migrate.up({ target, ...files }).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ details: { location: { line: 2, column: 13 } } });
    } finally {
      await sql.unsafe(`drop database ${name} with (force)`);
    }
  });

  it('reports that a failure came after the last statement', async () => {
    const { url: target } = await scratch();
    const files = folders('begin read only; select 1; commit;');
    const error = await errorOf('migration-failed', () => migrate.up({ target, ...files }));
    expect(error.problems[0]?.evidence).toContainEqual(
      expect.stringMatching(/^after the last statement/),
    );
  });

  it.each([
    ['one query', 1],
    ['several queries', 100],
  ])('keeps its letters in the history when it sets an encoding, in %s', async (_how, count) => {
    const { url: target, sql } = await scratch();
    const rollback = "comment on table t1 is 'été'; drop table t1;";
    const up = `create table t1 (); set names 'LATIN1'; ${"select '日本';".repeat(count)}`;
    const files = writePairs({ [`${version(1)}_créé`]: [up, rollback] });
    await migrate.up({ target, ...files });
    const [row] = await sql`
      select description, rollback_sql as text from cryptosense_db.migrations`;
    expect(row).toEqual({ description: 'créé', text: rollback });
    expect(await migrate.status({ target, ...files })).toMatchObject({ isCurrent: true });
    expect(await codeOf(migrate.down({ target, ...files }))).toBe('done');
  });

  it('keeps the letters of its rollback when it sets client_encoding', async () => {
    const { url: target, sql } = await scratch();
    const rollback = "comment on table t1 is 'été'; drop table t1;";
    const files = folders(["create table t1 (); set client_encoding = 'LATIN1';", rollback]);
    await migrate.up({ target, ...files });
    expect(await sql`select rollback_sql as text from cryptosense_db.migrations`).toEqual([
      { text: rollback },
    ]);
  });

  it('runs deferred triggers without statement_timeout, as COMMIT does', async () => {
    const { url: target } = await scratch();
    const files = folders(
      `create table t1 ();
       create function nap() returns trigger language plpgsql as $$
       begin perform pg_sleep(0.3); return null; end $$;
       create constraint trigger late after insert on t1 deferrable initially deferred
         for each row execute function nap();
       insert into t1 default values;
       set local statement_timeout = '200ms';`,
    );
    expect(await codeOf(migrate.up({ target, ...files }))).toBe('done');
  });

  it.each([
    ['a cursor', 'declare c cursor for select * from rows; fetch 1 from c;'],
    [
      'a cursor that outlives its transaction',
      'declare c cursor with hold for select * from rows;',
    ],
    [
      'a cursor of plpgsql',
      'do $$ declare c refcursor; r record; begin open c for select * from rows; fetch c into r; end $$;',
    ],
  ])('can leave %s open on a temporary table', async (_which, cursor) => {
    const { url: target } = await scratch();
    const rows = 'create temp table rows as select generate_series(1, 1000) as a;';
    const files = folders(`${rows} ${cursor}`, `${rows} create table t1 ();`);
    expect(await codeOf(migrate.up({ target, ...files }))).toBe('done');
    expect(await state()).toMatchObject({ tables: ['t1'] });
  });

  it('is read in the encoding of SET NAMES, even with a comment between SET and NAMES', async () => {
    const { url: target, sql } = await scratch();
    const files = folders("set /* to */ names 'latin1'; create table t1 as select 'é'::text as a;");
    await migrate.up({ target, ...files });
    expect(await sql`select a from t1`).toEqual([{ a: 'Ã©' }]);
  });

  it('does not listen to the channels of the file before it', async () => {
    const { url: target, sql } = await scratch();
    const files = folders(
      'listen here;',
      'create table heard as select pg_listening_channels() as channel;',
    );
    await migrate.up({ target, ...files });
    expect(await sql`select from heard`).toHaveLength(0);
  });

  it('is rolled back when the line ends of its recorded rollback were changed', async () => {
    const { url: target, sql } = await scratch();
    const files = folders(['create table t1 ();', 'begin;\n\ndrop table t1;\n\ncommit;']);
    await migrate.up({ target, ...files });
    await sql.unsafe(
      "update cryptosense_db.migrations set rollback_sql = replace(rollback_sql, E'\n', E'\r\n')",
    );
    expect(await codeOf(migrate.down({ target, ...files }))).toBe('done');
    expect(await state()).toEqual({ tables: [], applied: [] });
  });

  it('shows the version of its migration in pg_stat_activity', async () => {
    const { url: target, sql } = await scratch();
    const files = folders('create table t1 ();', 'alter table t1 add a integer;');
    await migrate.up({ target, ...files, to: version(1) });
    const holder = await sql.reserve();
    await holder`begin`;
    await holder`lock table t1`;
    const run = migrate.up({ target, ...files });
    await until('it waits', async () => {
      const waiting = await sql<{ query: string }[]>`
        select query from pg_stat_activity
        where wait_event_type = 'Lock' and datname = current_database()`;
      return waiting.some(({ query }) =>
        query.startsWith(`/* cryptosense-db: ${version(2)} up */`),
      );
    });
    await holder`commit`;
    holder.release();
    expect(await run).toMatchObject({ applied: 2 });
  });
});

describe('files in a single transaction', () => {
  it('leave deferred and immediate constraints as declared', async () => {
    const { url: target } = await scratch();
    const cycle = (name: string) => `
      create table ${name} (a integer primary key,
        b integer references ${name} deferrable initially deferred);
      insert into ${name} values (1, 2), (2, 1);`;
    const files = folders(
      `${cycle('t1')} create table u1 (a integer unique deferrable initially immediate);`,
      `${cycle('t2')} insert into t1 values (3, 4), (4, 3);`,
      `do $$ begin
         insert into u1 values (1), (1);
         raise 'not immediate';
       exception when unique_violation then null;
       end $$;`,
    );
    expect(await codeOf(migrate.up({ target, ...files, singleTransaction: true }))).toBe('done');
  });
});

describe('a callback that throws', () => {
  const thrown = new Error('enough');

  it.each([
    ['step-started', 1, 0],
    ['step-finished', 1, 1],
    ['step-started', 2, 1],
    ['step-finished', 2, 2],
    ['step-finished', 5, 5],
  ])('ends the run with its error at %s %d after %d migrations', async (kind, index, count) => {
    const { url: target } = await scratch();
    const tables = [1, 2, 3, 4, 5].map((step) => `create table t${step} ();`);
    const run = migrate.up({
      target,
      ...folders(...tables),
      onProgress: (event) => {
        if (event.kind === kind && 'step' in event && event.step.index === index) throw thrown;
      },
    });
    await expect(run).rejects.toBe(thrown);
    const { tables: made, applied } = await state();
    expect(made).toHaveLength(applied.length);
    expect(applied).toHaveLength(count);
  });

  it.each([
    ['in one query', 1],
    ['in several queries', 100],
  ])(
    'ends the run with its error at a notice of a migration that is sent %s',
    async (_how, count) => {
      const { url: target } = await scratch();
      const notice = "do $$ begin raise notice 'here'; end $$;";
      const files = folders(
        'create table t1 ();',
        `create table t2 (); ${notice} ${'select 1;'.repeat(count)}`,
        'create table t3 ();',
      );
      const run = migrate.up({
        target,
        ...files,
        onProgress: ({ kind }) => {
          if (kind === 'notice') throw thrown;
        },
      });
      await expect(run).rejects.toBe(thrown);
      const { tables, applied } = await state();
      expect(applied).toEqual(tables.map((name) => version(Number(name.slice(1)))));
      expect(tables).not.toContain('t3');
    },
  );

  it('ends the run before the next try of a step that waits for a table', async () => {
    const { url: target, sql } = await scratch();
    const files = folders('create table t1 ();', 'alter table t1 add a int;');
    await migrate.up({ target, ...files, to: version(1) });
    const holder = await sql.reserve();
    await holder`begin`;
    await holder`lock table t1`;
    const run = migrate.up({
      target,
      ...files,
      tableLockTimeoutMs: 100,
      onProgress: ({ kind }) => {
        if (kind === 'step-retried') throw thrown;
      },
    });
    await expect(run).rejects.toBe(thrown);
    await holder`commit`;
    holder.release();
    expect(await state()).toMatchObject({ applied: [version(1)] });
  });
});

describe('the lock of the run', () => {
  const key = '842341073, 1509727411';

  it('is held by the run after a file has released it once', async () => {
    const { url: target, sql } = await scratch();
    const files = folders(
      `do $$ begin perform pg_advisory_unlock(${key}); end $$;`,
      `create table held as select count(*)::int as n from pg_locks
        where locktype = 'advisory' and granted and pid = pg_backend_pid();`,
    );
    await migrate.up({ target, ...files });
    expect(await sql`select n from held`).toEqual([{ n: 1 }]);
  });

  it('is taken by another run after a file releases it: the run ends and rolls the file back', async () => {
    const { url: target, sql } = await scratch();
    const files = folders(
      'create table t1 ();',
      `do $$ begin
         perform pg_advisory_unlock_all();
         for n in 1..3000 loop
           exit when exists (select from pg_locks join pg_database on database = pg_database.oid
             where locktype = 'advisory' and granted and pid <> pg_backend_pid()
               and datname = current_database() and (classid, objid) = (${key}));
           perform pg_sleep(0.01);
         end loop;
       end $$;
       create table t2 ();`,
      'create table t3 ();',
    );
    const run = codeOf(migrate.up({ target, ...files }));
    const other = await sql.reserve();
    await until('the other session has the lock', async () => {
      const [row] = await other`
        select exists (select from pg_stat_activity
          where query like '%_000002 up%' and state = 'active' and datname = current_database()
            and pid <> pg_backend_pid())
          and pg_try_advisory_lock(842341073, 1509727411) as taken`;
      return row?.taken;
    });
    expect(await run).toBe('faulty-statements');
    other.release();
    expect(await state()).toEqual({ tables: ['t1'], applied: [version(1)] });
  });

  it('is released after the run', async () => {
    const { url: target, sql } = await scratch();
    await migrate.up({ target, ...folders('create table t1 ();') });
    const [row] = await sql`select pg_try_advisory_lock(842341073, 1509727411) as taken`;
    expect(row).toEqual({ taken: true });
  });
});

describe('a failure', () => {
  it('is reported without the notice that there is no transaction to roll back', async () => {
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

  /** RESET ALL where the tool does not see it. */
  const clearTag = "do $$ begin execute 'reset all'; end $$;";

  it('of a rollback that clears the tag of its transaction changes nothing', async () => {
    const { url: target } = await scratch();
    const files = folders(['create table t1 ();', `drop table t1; ${clearTag}`]);
    await migrate.up({ target, ...files });
    expect(await codeOf(migrate.down({ target, ...files }))).toBe('faulty-statements');
    expect(await state()).toEqual({ tables: ['t1'], applied: [version(1)] });
  });
});
