import { expect, it } from 'vitest';
import { touchesOf } from '../../../src/schema/dictionary/touched.ts';
import { loadGrammar } from '../../../src/sql/parse.ts';

const { parse } = await loadGrammar();
const touches = (relation: string, ...texts: readonly string[]) =>
  touchesOf(
    texts.map((text, index) => ({ name: String(index + 1), statements: [{ text }] })),
    parse,
  )(relation);

it.each([
  ['creates it', 'create table coins (id int)'],
  ['creates it as a view', 'create view coins as select 1'],
  ['creates it from a query', 'create table coins as select 1'],
  ['creates it as a materialized view', 'create materialized view coins as select 1'],
  ['alters it', 'alter table public.coins add column rank int'],
  ['indexes it', 'create index concurrently i on coins (id)'],
  ['comments it', "comment on table coins is 'Coins'"],
  ['comments a column', "comment on column public.coins.id is 'Key'"],
  ['makes a trigger', 'create trigger t before update on coins for each row execute function f()'],
  ['drops a trigger', 'drop trigger t on coins'],
  ['makes a policy', 'create policy p on coins using (true)'],
  ['makes statistics', 'create statistics s on a, b from coins'],
  ['fills it', "insert into coins values ('BTC')"],
  ['changes rows', 'update coins set id = 1'],
  ['grants it', 'grant select on coins to reader'],
  ['drops it', 'drop table if exists coins'],
  ['makes a policy of TimescaleDB', "select add_retention_policy('coins', interval '1 day')"],
  ['makes a hypertable', "select create_hypertable('public.coins', by_range('time'))"],
  ['calls a procedure', "call refresh_continuous_aggregate('coins', null, null)"],
  ['runs code that names it', 'do $$ begin delete from coins; end $$'],
])('counts a migration that %s', (_, text) => {
  expect(touches('public.coins', text)).toEqual(['1']);
});

it.each([
  ['references it', 'create table prices (coin int references coins)'],
  ['reads it', 'create view v as select * from coins'],
  ['has a longer name', 'create table coins_old (id int)'],
  ['is in another schema', 'create table app.coins (id int)'],
  ['names a column so', 'comment on column prices.coins is null'],
  ['runs code with a longer name', 'do $$ begin delete from coins_old; end $$'],
])('does not count a migration that %s', (_, text) => {
  expect(touches('public.coins', text)).toEqual([]);
});

it('counts a migration that drops or comments an index of it', () => {
  const create = 'create index coins_rank on coins (rank)';
  const other = 'create index other on prices (rank)';
  const drop = 'drop index concurrently coins_rank, other';
  const comment = "comment on index coins_rank is 'x'";
  expect(touches('public.coins', create, other, drop, comment)).toEqual(['1', '3', '4']);
});

it('follows a table through its names', () => {
  const texts = [
    'create table tokens (id int)',
    'create table coins (id int)',
    'drop table coins',
    'alter table tokens rename to coins',
    'alter table coins add column rank int',
  ];
  expect(touches('public.coins', ...texts)).toEqual(['1', '4', '5']);
});

it('takes names apart as PostgreSQL does', () => {
  expect(touches('app."Odd ""Name"""', 'create table app."Odd ""Name""" (id int)')).toEqual(['1']);
});
