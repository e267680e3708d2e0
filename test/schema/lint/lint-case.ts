import { type LintResult, lint } from '../../../src/schema/schema.ts';
import { type Pairs, writePairs } from '../../support/fixtures.ts';

/** The schema that each case starts from. Its own findings are not looked at. */
const start: Pairs = {
  '20260101_000000_start': [
    `create table users (id uuid primary key, name varchar(20), rank int, deleted_at timestamptz);
    create table orders (id bigserial primary key, user_id uuid, price numeric(20, 8));
    create index idx_orders_user_id on orders (user_id);
    create table prices (
      time timestamptz not null, symbol varchar(20) not null, price numeric(20, 8), volume int,
      primary key (time, symbol)
    );
    select create_hypertable('prices', 'time');
    create index idx_prices_symbol on prices (symbol);
    create table ticks (
      time timestamptz not null, symbol varchar(20) not null, price numeric(20, 8), primary key (time, symbol)
    );
    select create_hypertable('ticks', by_range('time'));
    alter table ticks set (timescaledb.compress, timescaledb.compress_segmentby = 'symbol');
    select add_compression_policy('ticks', interval '7 days');
    select add_retention_policy('ticks', drop_after => interval '30 days');
    create materialized view ticks_daily with (timescaledb.continuous) as
      select time_bucket('1 day', time) as day, max(price) from ticks group by 1 with no data;
    create table events (id uuid, at timestamptz) partition by range (at);`,
    '-- Irreversible: the start of a test',
  ],
};

export const caseVersion = '20260102_000000';

/** Lints one pair that comes after the start. Default rollback: one that cannot be. */
export async function lintPair(
  up: string,
  down = '-- Irreversible: a case of a test',
  options: { readonly target?: string } = {},
): Promise<LintResult> {
  const folders = writePairs({ ...start, [`${caseVersion}_case`]: [up, down] });
  return lint({ ...folders, ...options, since: caseVersion });
}

/** The rules that a migration breaks, each once, sorted. */
export async function rulesBroken(up: string, down?: string): Promise<readonly string[]> {
  const { findings } = await lintPair(up, down);
  return [...new Set(findings.map(({ rule }) => rule))].sort();
}

/** A file whose statements refuse a transaction. */
export function alone(sql: string): string {
  return `-- Transaction: none\n${sql}`;
}
