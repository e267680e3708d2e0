import type { Sql } from '../database/connection.ts';
import { type Interval, intervalMs, type PricedAsset, type TimeRange } from '../market/prices.ts';
import type { Presence } from './plan.ts';

/**
 * The runs of hours or days that have a price, of any source, in order of time. `range` is of whole hours or days.
 */
export async function readPresence(
  sql: Sql,
  assets: readonly PricedAsset[],
  { range, interval }: { readonly range: TimeRange; readonly interval: Interval },
): Promise<readonly Presence[]> {
  const slot = intervalMs[interval] / 1_000;
  const symbols = JSON.stringify(assets.map(({ symbol }) => symbol));
  // By asset: the prices of one fit into the memory of a sort, and chunks are compressed by asset.
  return sql<Presence[]>`
    select
      symbol, first_slot::float8 * ${slot}::bigint * 1000 as "from",
      (last_slot + 1)::float8 * ${slot}::bigint * 1000 as "to"
    from json_array_elements_text(${symbols}::text::json) as symbol, lateral (
      select min(slot) as first_slot, max(slot) as last_slot
      from (
        -- Slots that follow each other have the same difference to their rank.
        select slot, slot - dense_rank() over (order by slot) as run
        from (
          select floor(date_part('epoch', "time") / ${slot}::bigint)::bigint as slot
          from price_history
          where asset_symbol = symbol
            and "time" >= ${new Date(range.from)} and "time" < ${new Date(range.to)}
        ) as slots
      ) as ranked
      group by run
    ) as runs
    order by 1, 2`;
}

/**
 * The starts of hours or days that a source's price must not be added to, because they have a price already, in
 * milliseconds since 1970. With `replacing`, those that have a row of this source at their start are not among them.
 */
export async function readTaken(
  sql: Sql,
  symbol: string,
  {
    range,
    interval,
    replacing = null,
  }: {
    readonly range: TimeRange;
    readonly interval: Interval;
    readonly replacing?: string | null;
  },
): Promise<ReadonlySet<number>> {
  const slot = intervalMs[interval] / 1_000;
  const rows = await sql<{ time: number }[]>`
    select slot::float8 * ${slot}::bigint * 1000 as time
    from (
      select floor(extract(epoch from "time") / ${slot}::bigint)::bigint as slot,
        coalesce(
          data_source = ${replacing}::text and mod(extract(epoch from "time"), ${slot}::bigint) = 0, false
        ) as is_replaced
      from price_history
      where asset_symbol = ${symbol}
        and "time" >= ${new Date(range.from)} and "time" < ${new Date(range.to)}
    ) as prices
    group by slot having not bool_or(is_replaced)`;
  return new Set(rows.map(({ time }) => time));
}

/** The newest price that a source has given of an asset; undefined without one. */
export async function readNewest(
  sql: Sql,
  { source, symbol }: { readonly source: string; readonly symbol: string },
): Promise<number | undefined> {
  const [row] = await sql<{ time: Date }[]>`
    select "time" from price_history where asset_symbol = ${symbol} and data_source = ${source}
    order by "time" desc limit 1`;
  return row?.time.getTime();
}

/** The moment before which the retention policy drops prices; undefined without a policy that goes by their time. */
export async function readRetention(sql: Sql): Promise<number | undefined> {
  const [policy] = await sql<{ end: Date }[]>`
    select now() - (config ->> 'drop_after')::interval as end from timescaledb_information.jobs
    where proc_name = 'policy_retention' and hypertable_schema = 'public' and hypertable_name = 'price_history'
      -- A policy can go by the age of chunks instead: drop_created_before.
      and config ->> 'drop_after' is not null`;
  return policy?.end.getTime();
}
