import { afterEach, describe, expect, inject, it } from 'vitest';
import * as migrate from '../../src/migrations/migrate.ts';
import {
  connect,
  createScratchDatabase,
  createScratchRole,
  type ScratchDatabase,
} from '../support/databases.ts';
import { type Folders, writePairs } from '../support/fixtures.ts';
import { until } from '../support/recovery.ts';

/** What the session is in which a file runs. */
let database: ScratchDatabase;
afterEach(() => database?.drop());

async function scratch(): Promise<ScratchDatabase> {
  database = await createScratchDatabase(inject('postgresUrl'));
  return database;
}

/** Migrations in order. */
function folders(...files: readonly string[]): Folders {
  const pairs = files.map((up, index) => [`20260101_00000${index + 1}_step`, [up, 'select 1;']]);
  return writePairs(Object.fromEntries(pairs));
}

describe('RESET ALL', () => {
  it.each(['', '-- Transaction: none\n'])(
    'gives a file the settings with which it began, after %j',
    async (header) => {
      const { url: target, sql } = await scratch();
      const file = `${header}
        create table seen (work_mem text, lock_timeout text);
        set work_mem = '1234kB'; set lock_timeout = 0;
        reset all;
        insert into seen values (current_setting('work_mem'), current_setting('lock_timeout'));`;
      const options = { target, ...folders(file), tableLockTimeoutMs: 7_000 };
      expect((await migrate.up(options)).steps).toHaveLength(1);
      expect(await sql`select * from seen`).toEqual([{ work_mem: '4MB', lock_timeout: '7s' }]);
    },
  );

  it.each([{ singleTransaction: true }, {}])(
    'may stand in each of several files, with %j',
    async (mode) => {
      const { url: target } = await scratch();
      const file = 'select 1; reset all; select 2;';
      const { steps } = await migrate.up({ target, ...folders(file, file), ...mode });
      expect(steps).toHaveLength(2);
    },
  );
});

it.each(['lock table t', "set work_mem = '1MB'; lock table t in exclusive mode; lock table u"])(
  'a transaction with one snapshot sees what was committed while it waited: %s',
  async (locking) => {
    const { url: target, sql } = await scratch();
    await sql.unsafe('create table t (); create table u (); create table seen (n integer)');
    const other = connect(target, 1);
    try {
      await other.unsafe('begin; lock table t; insert into t default values');
      const run = migrate.up({
        target,
        ...folders(`begin isolation level repeatable read; ${locking};
          insert into seen select count(*) from t; commit;`),
      });
      await until('the migration waits for the lock', async () => {
        const waiting =
          await sql`select from pg_locks where not granted and relation = 't'::regclass`;
        return waiting.length > 0;
      });
      await other.unsafe('commit');
      await run;
      expect(await sql`select n from seen`).toEqual([{ n: 1 }]);
    } finally {
      await other.end({ timeout: 1 });
    }
  },
);

it('a file is read as the grammar reads it, also where the database has another setting for strings', async () => {
  const { url: target, sql, name } = await scratch();
  await sql.unsafe(`alter database ${name} set standard_conforming_strings = off`);
  const file =
    "create table t as select 'C:\\new\\' as path; reset all; insert into t values ('a\\');";
  await migrate.up({ target, ...folders(file) });
  expect(await sql`select path from t order by path`).toEqual([
    { path: 'C:\\new\\' },
    { path: 'a\\' },
  ]);
});

it('a lock that is refused among the first statements of a transaction has its place', async () => {
  const { url: target } = await scratch();
  const file =
    'begin isolation level serializable;\nset work_mem = 64;\nlock table nothing;\ncommit;';
  await expect(migrate.up({ target, ...folders(file) })).rejects.toMatchObject({
    code: 'migration-failed',
    details: { location: { line: 3, column: 1 } },
  });
});

it('a login that acts as another role by default runs files of both kinds', async () => {
  const { url, sql, name } = await scratch();
  const [owner, login] = await Promise.all([createScratchRole(url), createScratchRole(url)]);
  try {
    await sql.unsafe(`
      grant ${owner.name} to ${login.name}; alter role ${login.name} noinherit;
      alter role ${login.name} set role = ${owner.name};
      grant create on database ${name} to ${owner.name}; grant create on schema public to ${owner.name}`);
    const none = '-- Transaction: none\n';
    const files = folders('create table a ();', `${none}create table b (); analyze b; vacuum b;`);
    expect((await migrate.up({ target: login.urlOf(url), ...files })).steps).toHaveLength(2);
    expect(
      await sql`select distinct tableowner as owner from pg_tables where tablename in ('a', 'b')`,
    ).toEqual([{ owner: owner.name }]);
  } finally {
    await sql.unsafe(`drop owned by ${owner.name}; drop owned by ${login.name}`);
    await sql.unsafe(`drop role ${login.name}; drop role ${owner.name}`);
  }
});

describe('a file finds the session as it opens', () => {
  const onDatabase = (what: string) =>
    `do $$ begin execute format('alter database %I ${what}', current_database()); end $$;`;

  it.each<[before: string, probe: string, expected: string]>([
    [onDatabase("set work_mem = ''1234kB''"), "current_setting('work_mem')", '1234kB'],
    ["alter role current_user set work_mem = '2345kB';", "current_setting('work_mem')", '2345kB'],
    [
      "-- Transaction: none\nalter role current_user set work_mem = '2345kB';",
      "current_setting('work_mem')",
      '2345kB',
    ],
    ["set app.tenant = 'a';", "coalesce(current_setting('app.tenant', true), 'none')", 'none'],
    [
      "select set_config('a.b', 'c', true);",
      "coalesce(current_setting('a.b', true), 'none')",
      'none',
    ],
    [
      'prepare p as select 1;',
      'select count(*)::text from pg_prepared_statements where from_sql',
      '0',
    ],
    [
      'select pg_advisory_lock(4711);',
      "select count(*)::text from pg_locks where pid = pg_backend_pid() and locktype = 'advisory' and objid = 4711",
      '0',
    ],
    [
      "load 'auto_explain';",
      "(to_jsonb(current_setting('auto_explain.log_format', true)) is null)::text",
      'true',
    ],
    [
      'create temp table a (); listen c; set search_path = pg_temp;',
      "coalesce(to_regclass('a')::text, 'none')",
      'none',
    ],
    [
      'set session characteristics as transaction isolation level serializable;',
      "current_setting('transaction_isolation')",
      'read committed',
    ],
  ])('after %s', async (before, probe, expected) => {
    const admin = await scratch();
    const role = await createScratchRole(admin.url);
    try {
      await admin.sql.unsafe(
        `alter database ${admin.name} owner to ${role.name}; grant create on schema public to ${role.name}; alter role ${role.name} superuser`,
      );
      const target = role.urlOf(admin.url);
      const probing = `create table seen_N as select (${probe}) as value`;
      const { steps } = await migrate.up({
        target,
        ...folders(before, probing.replace('_N', '_1'), probing.replace('_N', '_2')),
      });
      expect(steps).toHaveLength(3);
      const rows = await admin.sql.unsafe(
        'select (select value from seen_1) as one, (select value from seen_2) as two',
      );
      expect(rows).toEqual([{ one: expected, two: expected }]);
      // A server releases the locks of a session a moment after its client is gone.
      await until('no advisory lock', async () => {
        const locks = await admin.sql`select from pg_locks where locktype = 'advisory'
          and database = (select oid from pg_database where datname = current_database())`;
        return locks.length === 0;
      });
    } finally {
      await admin.sql.unsafe(
        `reassign owned by ${role.name} to current_user; drop owned by ${role.name}; drop role ${role.name}`,
      );
    }
  });

  it('and no other run gets the lock while it changes hands', async () => {
    const { url: target, sql } = await scratch();
    const change = (n: number) =>
      `${onDatabase(`set work_mem = ''${n}MB''`)} create table t${n} ();`;
    const files = folders(change(1), change(2), change(3), change(4), change(5));
    const runs = await Promise.all([1, 2, 3].map(() => migrate.up({ target, ...files })));
    expect(runs.map(({ steps }) => steps.length).sort()).toEqual([0, 0, 5]);
    expect(await sql`select from cryptosense_db.migrations`).toHaveLength(5);
  });

  it('and a failure in a later session names what was applied before it', async () => {
    const { url: target, sql } = await scratch();
    const files = folders(
      onDatabase("set work_mem = ''2MB''"),
      'select 1;',
      'select 1/0;',
      'select 1;',
    );
    await expect(migrate.up({ target, ...files })).rejects.toMatchObject({
      code: 'migration-failed',
      details: { completed: ['20260101_000001', '20260101_000002'], pending: ['20260101_000004'] },
    });
    const log = await sql`select event from cryptosense_db.migration_log order by id`;
    expect(log.map(({ event }) => event)).toEqual(['apply', 'apply', 'failure']);
  });
});
