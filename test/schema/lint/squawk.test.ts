import { expect, it } from 'vitest';
import { squawkRules, squawkRulesOff } from '../../../src/schema/lint/rules.ts';
import { alone, lintPair, rulesBroken } from './lint-case.ts';

const broken: readonly (readonly [rule: string, sql: string])[] = [
  ['adding-field-with-default', 'alter table users add column code uuid default gen_random_uuid()'],
  [
    'adding-field-with-default',
    'alter table users add column twice int generated always as (2) stored',
  ],
  [
    'adding-foreign-key-constraint',
    'alter table orders add constraint fk_orders_users foreign key (user_id) references users (id)',
  ],
  ['adding-not-nullable-field', 'alter table users alter column rank set not null'],
  ['adding-required-field', 'alter table users add column code int not null'],
  ['adding-serial-primary-key-field', 'alter table events add primary key (id)'],
  [
    'ban-alter-domain-with-add-constraint',
    'alter domain positive add constraint above check (value > 0)',
  ],
  ['ban-char-field', 'alter table users add column country char(2)'],
  ['ban-drop-column', 'alter table users drop column rank'],
  ['ban-drop-database', alone('drop database shop')],
  ['ban-drop-table', 'drop table orders'],
  ['ban-duplicate-column-assignments', 'update users set rank = 1, rank = 2 where rank = 3'],
  ['ban-truncate-cascade', 'truncate users cascade'],
  ['changing-column-type', 'alter table users alter column rank type bigint'],
  ['constraint-missing-not-valid', 'alter table users add constraint above check (rank > 0)'],
  ['disallowed-unique-constraint', 'alter table users add constraint one_name unique (name)'],
  [
    'identifier-too-long',
    alone(`create unique index concurrently unique_${'x'.repeat(60)} on users (name)`),
  ],
  ['prefer-timestamp-tz', 'alter table users add column seen_at timestamp'],
  ['renaming-column', 'alter table users rename column rank to place'],
  ['renaming-table', 'alter table users rename to accounts'],
  ['require-concurrent-index-creation', 'create index idx_users_rank on users (rank)'],
  ['require-concurrent-partition-detach', 'alter table events detach partition events_2026'],
  ['require-concurrent-reindex', 'reindex table users'],
];

it.each(broken)('%s is broken by: %s', async (rule, sql) => {
  expect(await rulesBroken(sql)).toEqual([rule]);
});

it('each rule of squawk that is on has a case here, and none is both on and off', () => {
  const names: readonly string[] = Object.keys(squawkRules);
  expect([...new Set(broken.map(([rule]) => rule))].sort()).toEqual([...names].sort());
  expect(squawkRulesOff.filter((name) => names.includes(name))).toEqual([]);
});

const sound: readonly string[] = [
  // A table of the same file has no rows, and no other session sees it.
  `create table coins (id uuid, user_id uuid); comment on table coins is 'x';
    create index idx_coins_id on coins (id); alter table coins add primary key (id);
    alter table coins add constraint fk_coins_users foreign key (user_id) references users (id);
    alter table coins add column code uuid not null unique default gen_random_uuid();
    alter table coins alter column user_id set not null; alter table coins rename column code to codes;`,
  `create table coins as select id from users; comment on table coins is 'x';
    alter table coins add primary key (id); alter table coins add column n int not null`,
  'truncate orders; alter table orders add column code int not null',
  'truncate orders; create index idx_orders_price on orders (price)',
  // PostgreSQL stores such a default once, and does not scan or rewrite.
  ...[
    '-1',
    'current_date',
    "(now() at time zone 'utc')::date::text::date",
    "'2026-01-01'::date",
  ].map((value) => `alter table users add column born date default ${value}`),
  'alter table users add column rate numeric(20, 8) default round(1.5)',
  'alter table orders add column owner_id uuid constraint fk_orders_users references users (id)',
  'alter table users alter column name type varchar(50)',
  'alter table users alter column name type text',
  'alter table orders alter column price type numeric(30, 8)',
  'create index idx_events_id on only events (id)',
  'drop index idx_orders_user_id',
  alone('alter table orders add constraint positive check (price > 0) not valid'),
];

it.each(sound)('nothing is wrong with: %s', async (sql) => {
  expect(await rulesBroken(sql)).toEqual([]);
});

const emptied: readonly (readonly [rule: string, sql: string])[] = [
  ['ban-drop-table', 'truncate orders; drop table orders'],
  ['ban-drop-column', 'truncate orders; alter table orders drop column price'],
  ['renaming-column', 'truncate orders; alter table orders rename column price to rates'],
  ['renaming-table', 'truncate orders; alter table orders rename to sales'],
  [
    'require-concurrent-index-creation',
    'delete from orders; create index idx_orders_price on orders (price)',
  ],
];

it.each(emptied)('%s is broken although the table has been emptied: %s', async (rule, sql) => {
  expect(await rulesBroken(sql)).toEqual([rule]);
});

it('a shorter VARCHAR and another scale rewrite the table', async () => {
  for (const change of [
    'users alter column name type varchar(10)',
    'orders alter column price type numeric(30, 4)',
  ]) {
    expect(await rulesBroken(`alter table ${change}`)).toContain('changing-column-type');
  }
});

it('a rollback may drop and rename, and must not block', async () => {
  const down = `alter table users drop column rank; alter table users rename column name to names;
    create index idx_users_name on users (names);`;
  expect(await rulesBroken('select 1', down)).toEqual(['require-concurrent-index-creation']);
});

it('a comment of squawk hides nothing: an allowance needs a reason', async () => {
  const sql = '-- squawk-ignore-file\n-- squawk-ignore ban-drop-table\ndrop table orders';
  expect(await rulesBroken(sql)).toEqual(['ban-drop-table']);
});

it('the place is one in characters, behind text that is not ASCII', async () => {
  const { findings } = await lintPair(
    'begin;\n/* größer */ alter table users add column "größe" timestamp;\ncommit;',
  );
  const found = findings.find(({ rule }) => rule === 'prefer-timestamp-tz');
  expect(found).toMatchObject({ line: 2, column: 51, severity: 'error' });
});

it('on a hypertable and on a partitioned table, a hint advises nothing that the server refuses', async () => {
  const { findings } = await lintPair(
    'create index idx_events_id on events (id); alter table prices add constraint one unique (time, volume);',
  );
  expect(findings).toMatchObject([
    {
      rule: 'require-concurrent-index-creation',
      hint: expect.stringContaining('on each partition'),
    },
    { rule: 'disallowed-unique-constraint', hint: expect.stringContaining('no other way') },
  ]);
});

it.each([
  ['gen_random_uuid()', 'is volatile'],
  ['new_code()', 'may be volatile'],
])('of the default %s, the message says that it %s', async (value, fact) => {
  const sql = `alter table users add column rank2 int, add column code uuid default ${value}`;
  const { findings } = await lintPair(sql);
  expect(findings).toMatchObject([
    {
      rule: 'adding-field-with-default',
      message: expect.stringContaining(`the default of the new column code ${fact}`),
    },
  ]);
});
