import { beforeAll, describe, expect, it } from 'vitest';
import {
  type Effect,
  effectsOf,
  type ObjectName,
  objectsAfter,
} from '../../src/migrations/effects.ts';
import { loadGrammar, type Parse } from '../../src/sql/parse.ts';

let parse: Parse;
beforeAll(async () => {
  ({ parse } = await loadGrammar());
});

const effects = (text: string) => effectsOf(parse(text).statements ?? []);

const nameOf = ({ kind, schema, name }: ObjectName) => `${kind} ${schema ?? '?'}.${name}`;

function describeEffect(effect: Effect): string {
  if (effect.effect === 'runs') return 'runs code';
  if (effect.effect === 'renames') {
    return `renames ${nameOf(effect.object)} to ${nameOf(effect.to)}`;
  }
  const mayExist = effect.effect === 'creates' && effect.mayExist ? ' if it is missing' : '';
  return `${effect.effect} ${nameOf(effect.object)}${mayExist}`;
}

it.each<[text: string, expected: readonly string[]]>([
  ['create table t ()', ['creates table public.t']],
  ['create table if not exists app.t ()', ['creates table app.t if it is missing']],
  ['create temp table t ()', []],
  ['create table pg_temp.t ()', []],
  ['create table t as select 1', ['creates table public.t']],
  ['select 1 as a into t union select 2', ['creates table public.t']],
  ['create or replace view v as select 1', ['creates table public.v if it is missing']],
  ['create materialized view v as select 1', ['creates table public.v']],
  ['create foreign table t () server s', ['creates table public.t']],
  ['create sequence s', ['creates sequence public.s']],
  ['create schema app create table t ()', ['creates schema ?.app', 'creates table app.t']],
  ['create index i on app.t (a)', ['creates index app.i']],
  ['create index on t (a)', []],
  ['reindex index i', ['rebuilds index public.i']],
  ['reindex table t', []],
  ["create type mood as enum ('sad')", ['creates type public.mood']],
  ['create type app.pair as (a integer)', ['creates type app.pair']],
  ['create type r as range (subtype = integer)', ['creates type public.r']],
  ['create domain d as integer', ['creates type public.d']],
  [
    'create function f() returns integer language sql as $$ select 1 $$',
    ['creates function public.f'],
  ],
  [
    'create or replace procedure f() language plpgsql as $$ begin drop table t; end $$',
    ['creates function public.f if it is missing', 'runs code'],
  ],
  ['do $$ begin alter table t rename to u; end $$', ['runs code']],
  ["do $$ begin raise notice 'dropped'; end $$", []],
  ['drop table a, app.b', ['drops table public.a', 'drops table app.b']],
  ['drop index concurrently i', ['drops index public.i']],
  ['drop type if exists mood', ['drops type public.mood']],
  ['drop function f(integer), g', ['drops function public.f', 'drops function public.g']],
  ['drop schema app cascade', ['drops schema ?.app']],
  ['drop policy p on t', []],
  ['alter table public.t set schema app', ['renames table public.t to table app.t']],
  ['alter view app.v rename to w', ['renames table app.v to table app.w']],
  ['alter index i rename to j', ['renames index public.i to index public.j']],
  ['alter type mood rename to feeling', ['renames type public.mood to type public.feeling']],
  ['alter schema app rename to old', ['renames schema ?.app to schema ?.old']],
  ['alter table t rename column a to b', []],
  ['alter table t rename constraint a to b', []],
  ['-- drop table t\nselect 1', []],
  [
    'set search_path = app; create table t (); drop table public.u',
    ['creates table ?.t', 'drops table public.u'],
  ],
  ["select set_config('search_path', 'app', false); create table t ()", ['creates table ?.t']],
  ['alter role r set search_path = app; create table t ()', ['creates table public.t']],
])('the effects of %s', (text, expected) => {
  expect(effects(text).map(describeEffect)).toEqual(expected);
});

it('a function is created with the types of its arguments', () => {
  const [effect] = effects(
    'create function f(a integer, out b text, c app.mood[]) language sql as $$ select 1 $$',
  );
  expect(effect).toMatchObject({ argumentTypes: ['"pg_catalog"."int4"', '"app"."mood"[]'] });
});

describe('the objects that stand after files', () => {
  it.each<[files: readonly string[], standing: readonly string[]]>([
    [['create table t ()', 'drop table public.t'], []],
    [['create table t ()', 'drop table app.t'], ['0 table public.t']],
    [['create table t ()', 'drop table t; create table t ()'], ['1 table public.t']],
    [['create table t ()', 'alter table t set schema app'], ['0 table app.t']],
    [['create table t ()', 'set search_path = app; drop table t'], []],
    [['create table app.t (); create table u ()', 'drop schema app cascade'], ['0 table public.u']],
    [['create index i on t (a)', 'alter index i rename to j'], ['0 index public.j']],
    [['create index i on t (a)', 'alter table t set schema app'], ['0 index app.i']],
    [['create index i on t (a)', 'alter table t rename to u; drop table u'], []],
    [['create index i on t (a)', 'reindex index i'], ['0 index public.i']],
    [['select 1', 'reindex index i'], ['1 index public.i']],
    [['create table t ()', 'do $$ begin drop table t; end $$'], ['0 table public.t?']],
    [
      ['create table t ()', "do $$ begin execute 'drop table ' || x; end $$"],
      ['0 table public.t?'],
    ],
    [
      ['create table t ()', 'do $$ begin drop view v; end $$; create table u ()'],
      ['0 table public.t', '1 table public.u'],
    ],
  ])('%j', (files, expected) => {
    const steps = files.map((text, by) => ({ by, effects: effects(text) }));
    const standing = objectsAfter(steps).map(
      ({ by, object, isCertain }) => `${by} ${nameOf(object)}${isCertain ? '' : '?'}`,
    );
    expect(standing).toEqual(expected);
  });
});
