import type { Sql } from '../database/connection.ts';
import { type Interval, intervalMs, type PricedAsset, type TimeRange } from '../market/prices.ts';
import type { Presence } from './plan.ts';

/** How many hours or days of each month have a price, for these assets. Months without one are left out. */
export async function readPresence(
  sql: Sql,
  assets: readonly PricedAsset[],
  { range, interval }: { readonly range: TimeRange; readonly interval: Interval },
): Promise<readonly Presence[]> {
  const slot = intervalMs[interval] / 1_000;
  const symbols = JSON.stringify(assets.map(({ symbol }) => symbol));
  return sql<Presence[]>`
    select
      asset_symbol as symbol,
      extract(epoch from date_trunc('month', to_timestamp(slot * ${slot}::bigint), 'UTC'))::float8 * 1000 as month,
      count(*)::int as slots
    from (
      select distinct asset_symbol, floor(extract(epoch from "time") / ${slot}::bigint)::bigint as slot
      from price_history
      where asset_symbol in (select json_array_elements_text(${symbols}::text::json))
        and "time" >= ${new Date(range.from)} and "time" < ${new Date(range.to)}
    ) as present
    group by 1, 2`;
}

/** The moment before which the retention policy drops prices; undefined without a policy. */
export async function readRetention(sql: Sql): Promise<number | undefined> {
  const [policy] = await sql<{ end: Date }[]>`
    select now() - (config ->> 'drop_after')::interval as end from timescaledb_information.jobs
    where proc_name = 'policy_retention' and hypertable_schema = 'public' and hypertable_name = 'price_history'`;
  return policy?.end.getTime();
}
