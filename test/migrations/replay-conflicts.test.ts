import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import { effectsOf } from '../../src/migrations/effects.ts';
import { conflictsInPlan, conflictsOf } from '../../src/migrations/replay-conflicts.ts';
import { loadGrammar, type Parse } from '../../src/sql/parse.ts';
import { createScratchDatabase, type ScratchDatabase } from '../support/databases.ts';

let parse: Parse;
let database: ScratchDatabase;

beforeAll(async () => {
  ({ parse } = await loadGrammar());
  database = await createScratchDatabase(inject('postgresUrl'));
  await database.sql.unsafe(`
    create schema app;
    create type pair as (x integer);
    create function f() returns trigger language plpgsql as 'begin return new; end';
    create table u (id integer primary key);
    create table t (a integer, b text, id integer constraint known references u);
    create table app.t (a integer);
    create index i on t (a);
    create trigger watch before insert on t for each row execute function f();
    create policy own on t;
    create rule quiet as on delete to t do nothing;
    create view v as select a from app.t;
    create materialized view m as select a from t;
    create unique index m_a on m (a);
    create sequence s;
    create table parts (k integer) partition by list (k);
    create table part partition of parts for values in (1);
    create table later (k integer);
    alter table t add constraint positive check (a > 0) not valid;
    insert into app.t values (1)`);
});
afterAll(() => database?.drop());

/** `line statement relations` of each conflict in files that run one after the other. */
function conflicts(...files: readonly string[]): readonly string[] {
  const scripts = files.map((text) => {
    const statements = parse(text).statements ?? [];
    const lineOf = (index: number) => text.slice(0, index).split('\n').length;
    return { effects: effectsOf(statements), replayConflicts: conflictsOf(statements, lineOf) };
  });
  return conflictsInPlan(scripts).flatMap((found) =>
    found.map(({ line, statement, relations }) =>
      [line, statement, ...(relations.length === 0 ? [] : [relations.join(', ')])].join(' '),
    ),
  );
}

/** Statements that run in a transaction on the schema above, which the server confirms. */
const inTransaction: readonly (readonly [text: string, expected: readonly string[]])[] = [
  ['alter table t add column c integer', ['1 ALTER TABLE public.t']],
  ['alter table t add column c integer, alter b set statistics 5', ['1 ALTER TABLE public.t']],
  ['alter table t alter b set statistics 5', []],
  ['alter table t alter b set default 1', ['1 ALTER TABLE public.t']],
  ['alter table t alter b set not null', ['1 ALTER TABLE public.t']],
  ['alter table t alter b type varchar', ['1 ALTER TABLE public.t']],
  ['alter table t alter a set (n_distinct = 5)', []],
  ['alter table t add foreign key (a) references u', []],
  ['alter table t add check (a > 1)', ['1 ALTER TABLE public.t']],
  ['alter table t validate constraint positive', []],
  ['alter table t drop constraint known', ['1 ALTER TABLE public.t']],
  ['alter table t set (fillfactor = 80)', []],
  ['alter table t set (autovacuum_enabled = false, toast.autovacuum_enabled = false)', []],
  ['alter table t set (user_catalog_table = true)', ['1 ALTER TABLE public.t']],
  ['alter table t cluster on i', []],
  ['alter table t disable trigger all', []],
  ['alter table t enable row level security', ['1 ALTER TABLE public.t']],
  ['alter table t replica identity full', ['1 ALTER TABLE public.t']],
  ['alter table t owner to current_user', ['1 ALTER TABLE public.t']],
  ['alter table parts attach partition later for values in (2)', ['1 ALTER TABLE public.later']],
  ['alter table parts detach partition part', ['1 ALTER TABLE public.parts, public.part']],
  [
    'create table p2 partition of parts for values in (3)',
    ['1 CREATE TABLE … PARTITION OF public.parts'],
  ],
  ['create table child () inherits (app.t)', []],
  ['create table fresh (id integer references u)', []],
  ['alter table t rename to t2', ['1 RENAME public.t']],
  ['alter table t rename a to c', ['1 RENAME public.t']],
  ['alter trigger watch on t rename to look', ['1 RENAME public.t']],
  ['alter policy own on t rename to mine', ['1 RENAME public.t']],
  ['alter rule quiet on t rename to silent', ['1 RENAME public.t']],
  ['alter view v rename to w', ['1 RENAME public.v']],
  ['alter sequence s rename to s2', ['1 RENAME public.s']],
  ['alter index i rename to j', []],
  ['alter type pair rename attribute x to y', []],
  ['alter function f() rename to g', []],
  ['alter index i set (fillfactor = 80)', []],
  ['alter index i set tablespace pg_default', ['1 ALTER INDEX public.i']],
  ['alter sequence s owner to current_user', ['1 ALTER SEQUENCE public.s']],
  ['alter sequence s increment by 2', []],
  ['alter view v set (security_barrier)', ['1 ALTER VIEW public.v']],
  ['alter materialized view m alter a set statistics 5', []],
  ['alter table u set schema app', ['1 SET SCHEMA public.u']],
  ['alter function f() set schema app', []],
  ['drop table t cascade', ['1 DROP TABLE public.t']],
  ['drop table if exists missing, app.t cascade', ['1 DROP TABLE public.missing, app.t']],
  ['drop view v', ['1 DROP VIEW public.v']],
  ['drop materialized view m', ['1 DROP MATERIALIZED VIEW public.m']],
  ['drop sequence s', ['1 DROP SEQUENCE public.s']],
  ['drop index i', ['1 DROP INDEX public.i']],
  ['drop trigger watch on t', ['1 DROP TRIGGER public.t']],
  ['drop policy own on t', ['1 DROP POLICY public.t']],
  ['drop rule quiet on t', ['1 DROP RULE public.t']],
  ['drop function f() cascade', ['1 DROP … CASCADE']],
  ['drop schema app cascade', ['1 DROP SCHEMA … CASCADE app']],
  ['drop type pair', []],
  ['truncate t, app.t', ['1 TRUNCATE public.t, app.t']],
  ['lock table t', ['1 LOCK TABLE public.t']],
  ['lock table t in share row exclusive mode', []],
  ['cluster t using i', ['1 CLUSTER public.t']],
  ['reindex table t', ['1 REINDEX public.t']],
  ['reindex index i', ['1 REINDEX public.i']],
  ['refresh materialized view m', ['1 REFRESH MATERIALIZED VIEW public.m']],
  ['refresh materialized view concurrently m', []],
  ['create rule loud as on update to t do nothing', ['1 CREATE RULE public.t']],
  ['create policy more on t', ['1 CREATE POLICY public.t']],
  ['alter policy own on t using (true)', ['1 ALTER POLICY public.t']],
  ['create trigger look after insert on t for each row execute function f()', []],
  ['create index on t (b)', []],
  ['create or replace view v as select a from app.t', ['1 CREATE OR REPLACE VIEW public.v']],
  ['create view w as select a from app.t', []],
  ["comment on table t is 'x'", []],
  ['grant select on t to public', []],
  ['insert into app.t values (2)', []],
  ['create table n (a integer);\nalter table n add b integer;\ndrop table n', []],
  ['create table n (a integer);\nalter table n rename to n2;\nalter table n2 add b integer', []],
  ['create table n (a integer);\ncreate index ni on n (a);\ndrop index ni', []],
  ['create index ti on t (b);\ndrop index ti', ['2 DROP INDEX public.ti']],
  ['create temp table x (a integer);\nalter table x add b integer;\ndrop table x', []],
  [
    'create table if not exists t (a integer);\nalter table t add c integer',
    ['2 ALTER TABLE public.t'],
  ],
  ['set search_path = app;\nalter table t add c integer', ['2 ALTER TABLE t']],
  [
    'drop table app.t cascade;\ncreate table app.t ();\nalter table app.t add a integer',
    ['1 DROP TABLE app.t'],
  ],
];

it.each(inTransaction)('%j', (text, expected) => {
  expect(conflicts(text)).toEqual(expected);
});

it.each(inTransaction)('PostgreSQL locks as the table says: %j', async (text, expected) => {
  const undo = new Error('roll back');
  const work = database.sql.begin(async (sql) => {
    // Queries take no lock on the relation of a composite type.
    const before = await sql<{ oid: number }[]>`
      select oid from pg_class where relkind <> 'c' and oid >= 16384`;
    await sql.unsafe(text);
    const locked = await sql`
      select from pg_locks
      where pid = pg_backend_pid() and mode = 'AccessExclusiveLock' and locktype = 'relation'
        and relation = any(${before.map(({ oid }) => oid)}::oid[])`;
    expect(locked.length > 0, 'ACCESS EXCLUSIVE on a relation that was there').toBe(
      expected.length > 0,
    );
    throw undo;
  });
  await expect(work).rejects.toBe(undo);
});

it.each<[text: string, expected: readonly string[]]>([
  ['vacuum full t', ['1 VACUUM FULL public.t']],
  ['vacuum (full) t, app.t', ['1 VACUUM FULL public.t, app.t']],
  ['vacuum (full true, analyze)', ['1 VACUUM FULL']],
  ['vacuum (full false) t', []],
  ['vacuum t', []],
  ['analyze t', []],
  ['cluster', ['1 CLUSTER']],
  ['reindex schema app', ['1 REINDEX']],
  ['reindex (concurrently) table t', []],
  ['reindex index concurrently i', []],
  ['drop index concurrently i', []],
  ['create index concurrently on t (b)', []],
  ['alter table parts detach partition part concurrently', ['1 ALTER TABLE public.part']],
  ['drop database d', ['1 DROP DATABASE']],
  ['drop tablespace s', ['1 DROP TABLESPACE']],
  ['drop owned by current_user', ['1 DROP OWNED']],
  ['drop extension pgcrypto', ['1 DROP EXTENSION']],
  ['drop schema app', []],
  ['alter table all in tablespace a set tablespace b', ['1 ALTER TABLE ALL']],
  ['alter table t set (timescaledb.compress)', ['1 ALTER TABLE public.t']],
  ['create temp table x (a integer);\ndrop table t', ['2 DROP TABLE public.t']],
])('%j', (text, expected) => {
  expect(conflicts(text)).toEqual(expected);
});

it('a relation that an earlier migration of the run creates has no conflict', () => {
  const create = 'create table orders (id integer);\ncreate index o on orders (id)';
  const change =
    'alter table orders add total numeric;\ndrop index o;\nalter table users add a int';
  expect(conflicts(create, change)).toEqual(['3 ALTER TABLE public.users']);
  expect(conflicts(change)).toEqual([
    '1 ALTER TABLE public.orders',
    '2 DROP INDEX public.o',
    '3 ALTER TABLE public.users',
  ]);
});
