import { expect, it } from 'vitest';
import { alone, lintPair, rulesBroken } from './lint-case.ts';

const newTable = 'create table chunks (time timestamptz not null, id uuid primary key);';
const comment = "comment on table chunks is 'x';";

/** A hypertable of the newer form, which has the columnstore by default. */
function columnstore(isOn: boolean): string {
  return `create table chunks (time timestamptz not null) with (tsdb.hypertable,
    tsdb.partition_column = 'time'${isOn ? '' : ', tsdb.enable_columnstore = false'}); ${comment}`;
}

/** Statements that break the one rule. TimescaleDB 2.28 refuses those of all rules but the last three. */
const broken: readonly (readonly [rule: string, sql: string])[] = [
  ['hypertable-unique', 'create unique index unique_symbol on prices (symbol)'],
  ['hypertable-unique', 'alter table prices add constraint unique_symbol unique (symbol)'],
  ['hypertable-unique', 'alter table prices add column code int unique'],
  ['hypertable-unique', `${newTable} ${comment} select create_hypertable('chunks', 'time')`],
  ['hypertable-unique', "select create_hypertable('users', by_range('deleted_at'))"],
  [
    'hypertable-unique',
    `create table chunks (time timestamptz, id uuid primary key)
      with (tsdb.hypertable, tsdb.partition_column = 'time'); ${comment}`,
  ],
  [
    'hypertable-concurrently',
    alone('create index concurrently idx_prices_volume on prices (volume)'),
  ],
  ['hypertable-concurrently', alone('drop index concurrently idx_prices_symbol')],
  ['hypertable-concurrently', alone('reindex index concurrently idx_prices_symbol')],
  ['hypertable-concurrently', alone('reindex table concurrently prices')],
  [
    'hypertable-using-index',
    'alter table prices add constraint prices_key unique using index prices_pkey',
  ],
  ['compressed-hypertable', 'alter table ticks add column size int not null'],
  ['compressed-hypertable', 'alter table ticks add column at timestamptz default now()'],
  ['compressed-hypertable', 'alter table ticks add column code uuid default gen_random_uuid()'],
  [
    'compressed-hypertable',
    'alter table ticks add column twice int generated always as (2) stored',
  ],
  ['compressed-hypertable', 'alter table ticks alter column symbol type text'],
  ['compressed-hypertable', 'alter table ticks enable row level security'],
  ['compressed-hypertable', 'alter table ticks alter column symbol set storage external'],
  ['compressed-hypertable', 'alter table ticks set (timescaledb.compress = false)'],
  ['compressed-hypertable', 'alter table ticks set (timescaledb.enable_columnstore = false)'],
  [
    'compressed-hypertable',
    alone(`call remove_columnstore_policy('ticks');
      alter table ticks set (timescaledb.enable_columnstore = false)`),
  ],
  ['compressed-hypertable', `${columnstore(true)} alter table chunks add column size int not null`],
  ['hypertable-index', 'create index idx_prices_volume on prices (volume)'],
  ['hypertable-index', 'create unique index unique_price on prices (time, price)'],
  [
    'aggregate-loses-rows',
    `select add_continuous_aggregate_policy('ticks_daily', start_offset => interval '60 days',
      end_offset => interval '1 hour', schedule_interval => interval '1 hour')`,
  ],
  [
    'aggregate-loses-rows',
    `select add_continuous_aggregate_policy('ticks_daily', null, interval '1 hour', interval '1 hour')`,
  ],
  ['aggregate-loses-rows', 'drop materialized view ticks_daily'],
  [
    'aggregate-loses-rows',
    alone("call refresh_continuous_aggregate('ticks_daily', null, '2026-01-01')"),
  ],
  [
    'unbounded-refresh',
    alone("call refresh_continuous_aggregate('ticks_daily', '2026-01-01', null)"),
  ],
];

it.each(broken)('%s is broken by: %s', async (rule, sql) => {
  expect(await rulesBroken(sql)).toEqual([rule]);
});

const sound: readonly string[] = [
  alone('create unique index concurrently unique_name on users (name)'),
  alone(
    'create index idx_prices_volume on prices (volume) with (timescaledb.transaction_per_chunk)',
  ),
  'drop index idx_prices_symbol',
  `create table chunks (time timestamptz not null, id uuid, primary key (time, id)); ${comment}
    select create_hypertable('chunks', 'time'); create index idx_chunks_id on chunks (id)`,
  'alter table ticks add column size int',
  'alter table ticks add column size int not null default 5',
  "alter table ticks add column note text default upper('a')",
  'alter table ticks rename constraint ticks_pkey to ticks_key',
  `select decompress_chunk(c) from show_chunks('ticks') c;
    alter table ticks set (timescaledb.compress = false)`,
  alone(`call convert_to_rowstore('_timescaledb_internal._hyper_1_1_chunk');
    alter table ticks set (timescaledb.enable_columnstore = false)`),
  `${columnstore(false)} alter table chunks add column size int not null`,
  // Compression that the file itself switches on has compressed nothing yet.
  'alter table prices set (timescaledb.compress); alter table prices set (timescaledb.compress = false)',
  `select add_continuous_aggregate_policy('ticks_daily', start_offset => interval '3 days',
    end_offset => interval '1 hour', schedule_interval => interval '1 hour')`,
  alone("call refresh_continuous_aggregate('ticks_daily', '2026-01-01', '2026-02-01')"),
];

it.each(sound)('nothing is wrong with: %s', async (sql) => {
  expect(await rulesBroken(sql)).toEqual([]);
});

it('a retention policy that makes an earlier refresh policy delete rows is found', async () => {
  expect(
    await rulesBroken(`
      create materialized view prices_daily with (timescaledb.continuous) as
        select time_bucket('1 day', time) as day, max(price) from prices group by 1 with no data;
      select add_continuous_aggregate_policy('prices_daily', interval '90 days', interval '1 day', interval '1 day');
      select add_retention_policy('prices', interval '30 days');`),
  ).toEqual(['aggregate-loses-rows']);
});

it('a finding stands at the part of the statement that it is about', async () => {
  const { findings } = await lintPair(
    'alter table ticks\n  add column fine int, -- ä\n  add column at timestamptz default now();',
  );
  expect(findings).toMatchObject([
    { rule: 'compressed-hypertable', severity: 'error', line: 3, column: 14 },
  ]);
});
