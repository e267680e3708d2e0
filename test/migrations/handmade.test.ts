import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import * as migrate from '../../src/migrations/migrate.ts';
import { createScratchDatabase, type ScratchDatabase } from '../support/databases.ts';
import { errorOf, wordsOf } from '../support/errors.ts';
import { type Folders, writePairs } from '../support/fixtures.ts';

let database: ScratchDatabase;
beforeAll(async () => {
  database = await createScratchDatabase(inject('postgresUrl'));
  await database.sql.unsafe(`
    create table users (id integer); create schema app; create table app."Coins" ();
    create view prices as select 1; create sequence numbers;
    create type mood as enum ('sad'); create domain app.price as numeric;
    create function total(integer, mood[]) returns integer language sql as 'select 1'`);
});
afterAll(() => database.drop());

const version = (step: number) => `20260101_00000${step}`;

function folders(...files: readonly string[]): Folders {
  const pairs = files.map((up, index) => [`${version(index + 1)}_step`, [up, 'select 1;']]);
  return writePairs(Object.fromEntries(pairs));
}

it.each<[files: readonly string[], baseline: string]>([
  [['create extension if not exists plpgsql;', 'create table users (id integer);'], version(2)],
  [['create table users ();', 'create table app."Coins" ();', 'create table c ();'], version(2)],
  [
    ['create table public.users ();', 'create table c ();', 'create view prices as select 1;'],
    version(1),
  ],
  [['create sequence numbers;', 'select 1;'], version(1)],
  [['create table first ();', 'create table users ();'], 'VERSION'],
  [['-- Transaction: none\ncreate table users as select 1;'], version(1)],
  [
    [
      'create function f() returns integer language sql as $$ select 1 $$; -- users: see also drop policy',
      'create table users (id integer);',
    ],
    'VERSION',
  ],
  [["create type mood as enum ('sad');", 'create domain app.price as numeric;'], version(2)],
  [['create schema app;'], version(1)],
  [
    ['create function total(a integer, b mood[], out c text) language sql as $$ select 1 $$;'],
    version(1),
  ],
])('a schema that was made by hand is refused with its baseline: %j', async (files, baseline) => {
  for (const dryRun of [true, false]) {
    const options = { target: database.url, ...folders(...files), environment: 'dev' as const };
    const error = await errorOf('history-mismatch', () => migrate.up({ ...options, dryRun }));
    expect(wordsOf(error)).toContain(`migrate baseline ${baseline};`);
    expect(await database.sql`select to_regnamespace('cryptosense_db')`).toEqual([
      { to_regnamespace: null },
    ]);
  }
});

it.each([
  'create table if not exists users (id integer);',
  'create or replace view prices as select 1;',
  'create temp table users ();',
  'drop table users; create table users (id integer);',
  'do $$ begin drop table if exists users; end $$; create table users (id integer);',
  'alter table users rename to people; create table users ();',
  'create schema other; set search_path = other; create table users ();',
  'create table other_users ();',
  'create function total(a integer, b mood) returns integer language sql as $$ select 1 $$;',
  'create or replace function total(a integer, b mood[]) returns integer language sql as $$ select 1 $$;',
  'drop schema app cascade; create schema app; create domain app.price as text;',
  "drop type mood cascade; create type mood as enum ('glad');",
])('what does not stand in the way of the migrations is no reason to refuse: %s', async (file) => {
  const options = { target: database.url, ...folders(file), dryRun: true };
  expect((await migrate.up(options)).steps).toHaveLength(1);
});
