import { expect, it } from 'vitest';
import { alone, lintPair, rulesBroken } from './lint-case.ts';

/** A table with a comment and the columns. */
function table(columns: string, name = 'coins'): string {
  return `create table ${name} (${columns}); comment on table ${name} is 'x'`;
}

const broken: readonly (readonly [rule: string, sql: string])[] = [
  ['table-name', table('id uuid', '"Coins"')],
  ['table-name', 'create view "userNames" as select name from users'],
  ['plural-table-name', table('id uuid', 'coin')],
  ['column-name', table('"createdAt" timestamptz')],
  ['column-name', 'alter table users add column "lastName" text'],
  ['index-name', `${table('id uuid')}; create index coins_id_idx on coins (id)`],
  [
    'index-name',
    `${table('id uuid', 'new_coins')}; create index idx_new_coins_id on new_coins (id);
      alter table new_coins rename to coins`,
  ],
  ['index-name', `${table('id uuid')}; create index on coins (id)`],
  ['index-name', `${table('id uuid')}; create unique index "uniqueCoin" on coins (id)`],
  ['foreign-key-name', table('user_id uuid references users (id)')],
  ['foreign-key-name', table('user_id uuid, constraint u foreign key (user_id) references users')],
  ['foreign-key-type', table('user_id int constraint fk_coins_users references users (id)')],
  ['primary-key-type', table('id serial primary key')],
  ['primary-key-type', table('id int, primary key (id)')],
  ['price-type', table('price double precision')],
  ['price-type', table('fee_usd numeric(20, 2)')],
  ['price-type', 'alter table orders add column amount money'],
  ['prefer-timestamp-tz', table('created_at timestamp')],
  ['json-type', table('metadata json')],
  ['soft-delete', table('is_deleted boolean')],
  ['soft-delete', table('deleted_at timestamptz not null')],
  [
    'table-name',
    'create table coins (id uuid); alter table coins rename to "Coins"; comment on table "Coins" is $$x$$',
  ],
  ['table-comment', 'create table coins (id uuid); alter table coins rename to tokens'],
  ['table-comment', 'create table coins (id uuid)'],
];

it.each(broken)('%s is broken by: %s', async (rule, sql) => {
  expect(await rulesBroken(sql)).toEqual([rule]);
});

const sound: readonly string[] = [
  table(`id uuid primary key, user_id uuid not null, created_at timestamptz, deleted_at timestamptz,
    price numeric(20, 8), fee_usd numeric(30, 18), price_change_24h numeric(10, 2), total_usd numeric(20, 2),
    value double precision, metadata jsonb,
    constraint fk_coins_users foreign key (user_id) references users (id),
    constraint fk_coins_users_owner foreign key (user_id) references users (id)`),
  table('id bigserial primary key', 'coin_history'),
  table('id bigserial primary key', 'cash'),
  `${table('id uuid', 'lab."fiatMoney"')}; alter table lab."fiatMoney" rename to money`,
  table('time timestamptz, symbol varchar(20), primary key (time, symbol)'),
  `${table('id uuid', 'social_sentiment_history')};
    create index idx_social_sentiment_id on social_sentiment_history (id)`,
  alone('create unique index concurrently one_name_per_rank on users (name, rank)'),
  'create temporary table "Scratch" ("theId" int primary key); create index on "Scratch" ("theId")',
  'create table users_before as select id from users; comment on table users_before is $$x$$',
  'create table coins (id uuid); drop table coins; select 1',
  // The last name in the file counts.
  `create table "newCoin" (id uuid, user_id uuid,
      constraint fk_coins_users foreign key (user_id) references users (id));
    create index idx_coins_id on "newCoin" (id); alter table "newCoin" rename to newer;
    alter table newer rename to coins; comment on table coins is 'x'`,
  `${table('id uuid', 'new_coins')}; create index idx_new_coins_id on new_coins (id);
    alter table new_coins rename to coins; alter index idx_new_coins_id rename to idx_coins_id`,
  // A partition has the columns of its parent, and no row of its own kind.
  'create table events_other partition of events default',
  `create table "eventsOther" (id uuid, "theAt" timestamptz);
    alter table "eventsOther" rename to event_2026_rest;
    alter table events attach partition event_2026_rest default`,
];

it.each(sound)('nothing is wrong with: %s', async (sql) => {
  expect(await rulesBroken(sql)).toEqual([]);
});

it('a rollback may bring back names and types that were there', async () => {
  const down = 'create table "Coin" ("theId" serial primary key, at timestamp)';
  expect(await rulesBroken('select 1', down)).toEqual([]);
});

const hints: readonly (readonly [sql: string, hint: string])[] = [
  [table('"createdAt" timestamptz'), 'name it created_at; docs/lint.md#column-name'],
  ['create table "BadNames" (id uuid)', `add: COMMENT ON TABLE "BadNames" IS '…'`],
  ['create table "user" (id uuid)', `add: COMMENT ON TABLE "user" IS '…'`],
  ['create table lab.coins (id uuid)', "add: COMMENT ON TABLE lab.coins IS '…'"],
  ['create index on "BadNames" (id)', 'name it: idx_bad_names_… with its columns'],
  [
    'alter table "BadNames" add foreign key (user_id) references users (id) not valid',
    'name it: CONSTRAINT fk_bad_names_users;',
  ],
  [
    table('deleted_at timestamptz not null'),
    'use deleted_at TIMESTAMPTZ, without NOT NULL and without a default;',
  ],
];

it.each(hints)('a hint says what to write in place of: %s', async (sql, hint) => {
  const { findings } = await lintPair(sql);
  expect(findings.some((each) => each.hint.startsWith(hint))).toBe(true);
});
