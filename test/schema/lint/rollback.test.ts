import { expect, it } from 'vitest';
import { alone, lintPair, rulesBroken } from './lint-case.ts';

const coins = "create table coins (id uuid primary key); comment on table coins is 'x';";

const logs = 'create table logs (at timestamptz) partition by range (at);';

const left: readonly (readonly [what: string, up: string, down: string])[] = [
  ['the table coins', coins, 'select 1'],
  [
    'the index idx_users_name',
    alone('create index concurrently idx_users_name on users (name)'),
    'select 1',
  ],
  ['the table user_names', 'create view user_names as select name from users', 'select 1'],
  ['the type tier', "create type tier as enum ('free')", 'select 1'],
  ['the function one', 'create function one() returns int language sql return 1', 'select 1'],
  ['the column code of users', 'alter table users add column code int', 'select 1'],
  [
    'the constraint positive of users',
    'alter table users add constraint positive check (rank > 0) not valid',
    'select 1',
  ],
  [
    'the trigger keep of users',
    'create trigger keep before update on users for each row execute function suppress_redundant_updates_trigger()',
    'select 1',
  ],
  ['the extension citext', 'create extension citext', 'select 1'],
  ['orders_old a hypertable', "select create_hypertable('orders_old', 'time')", 'select 1'],
  [
    'the retention policy of prices',
    "select add_retention_policy('prices', interval '1 year')",
    "select remove_retention_policy('ticks')",
  ],
  ['the compression of prices', 'alter table prices set (timescaledb.compress)', 'select 1'],
  [
    'the constraint one_name of users',
    alone(
      'create unique index concurrently one_name on users (name); alter table users add unique using index one_name',
    ),
    'select 1',
  ],
  [
    'the table logs_2026',
    `${logs} comment on table logs is 'x'; create table logs_2026 partition of logs default;
      alter table logs detach partition logs_2026`,
    'drop table logs',
  ],
  ['the job', "select add_job('tidy', '1 day')", 'select 1'],
];

it.each(left)('a rollback leaves %s', async (what, up, down) => {
  const { findings } = await lintPair(up, down);
  expect(findings).toMatchObject([
    { rule: 'rollback-leaves', severity: 'error', line: 1, message: expect.stringContaining(what) },
  ]);
});

const undone: readonly (readonly [up: string, down: string])[] = [
  [`${coins} create index idx_coins_id on coins (id);`, 'drop table coins'],
  [
    'create schema lab; create table lab.trials (id uuid); comment on table lab.trials is $$x$$',
    'drop schema lab cascade',
  ],
  [
    'alter table users add column code int; create index idx_users_code on users (code);',
    'alter table users drop column code',
  ],
  [
    'create view user_names as select name from users',
    'alter table users drop column name cascade',
  ],
  ['create or replace function one() returns int language sql return 1', 'select 1'],
  ['create extension if not exists citext', 'select 1'],
  [coins, 'do $$ begin execute format($f$drop table %I$f$, $t$coins$t$); end $$'],
  [
    "select add_job('tidy', '1 day')",
    'select delete_job(job_id) from timescaledb_information.jobs',
  ],
  [
    "select add_retention_policy('prices', interval '1 year')",
    "select remove_retention_policy('prices')",
  ],
  // The name was there before.
  [
    'drop index idx_orders_user_id; create index idx_orders_user_id on orders (user_id, price);',
    'select 1',
  ],
  // The constraint takes over the index.
  [
    alone(`create unique index concurrently unique_name on users (name);
      alter table users add constraint unique_name unique using index unique_name`),
    'alter table users drop constraint unique_name',
  ],
  [
    alone(`create unique index concurrently one_name on users (name);
      alter table users add constraint unique_name unique using index one_name`),
    'alter table users drop constraint unique_name',
  ],
  // Partitions go with their parent.
  [
    `${logs} create table logs_2026 partition of logs default partition by range (at);
      create table logs_2026_01 partition of logs_2026 default;
      create index idx_logs_2026_01_at on logs_2026_01 (at); alter table logs rename to entries`,
    'drop table entries',
  ],
  [
    `${logs} create table logs_2026 (at timestamptz);
      alter table logs attach partition logs_2026 default`,
    'drop table logs',
  ],
  [coins, '-- Irreversible: the table holds the only copy'],
];

it.each(undone)('nothing is left of: %s', async (up, down) => {
  expect(await rulesBroken(up, down)).not.toContain('rollback-leaves');
});

it('the finding stands in the rollback, and names the line of the migration', async () => {
  const { findings } = await lintPair(`select 1;\n${coins}`, '-- Undo\nbegin;\nselect 2;\ncommit;');
  expect(findings).toMatchObject([
    {
      file: expect.stringContaining('_case_rollback.sql'),
      line: 3,
      message:
        'the rollback leaves the table coins, which line 2 of 20260102_000000_case.sql creates',
    },
  ]);
});
