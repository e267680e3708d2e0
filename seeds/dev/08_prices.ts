import { sql } from 'kysely';
import type { DevContext, DevSeeder, NewRow } from '../../src/seeding/seeder.ts';
import { syntheticSource } from '../story/catalogue.ts';
import { clearSynthetic } from '../story/clear.ts';
import {
  bitcoinMinutes,
  bitcoinPrices,
  bitcoinVolumeUsd,
  changeOver,
  hourlyPrices,
  hours,
  otherAssets,
} from '../story/prices.ts';
import { dayMs, startOfDay } from '../story/time.ts';

export const seeder: DevSeeder = {
  description: '1,440 minutes of BTC, a week of hours of the others',
  run: async (context) => {
    const { db, load } = context;
    await clearSynthetic(db, 'price_history');
    await load('price_history', { rows: bitcoin(context), total: bitcoinMinutes });
    await load('price_history', { rows: others(context), total: otherAssets.length * hours });
  },
  afterwards: ({ db, now }) => refreshDaily(db, now),
};

type Db = DevContext['db'];

function* bitcoin(context: DevContext): Generator<NewRow<'price_history'>> {
  for (const { time, priceUsd } of bitcoinPrices(context)) {
    yield {
      time,
      asset_symbol: 'BTC',
      price_usd: priceUsd.toFixed(2),
      volume_24h_usd: bitcoinVolumeUsd,
      data_source: syntheticSource,
    };
  }
}

function* others(context: DevContext): Generator<NewRow<'price_history'>> {
  for (const asset of otherAssets) {
    const prices = hourlyPrices(asset, context);
    for (const [at, { time, priceUsd }] of prices.entries()) {
      yield {
        time,
        asset_symbol: asset.symbol,
        price_usd: priceUsd.toFixed(8),
        market_cap_usd: (priceUsd * asset.supply).toFixed(2),
        volume_24h_usd: asset.volume24hUsd,
        percent_change_1h: changeOver(prices, at, 1)?.toFixed(2) ?? null,
        percent_change_24h: changeOver(prices, at, 24)?.toFixed(2) ?? null,
        data_source: syntheticSource,
      };
    }
  }
}

/**
 * Days before today go into price_history_daily; today stays out of what is materialised, or it would
 * not follow the prices that come later. A day that is materialised already, by a policy or by
 * somebody's refresh, is brought up to date.
 */
async function refreshDaily(db: Db, now: Date): Promise<void> {
  const clock = await sql<{ now: Date }>`select now()`.execute(db);
  const today = startOfDay(clock.rows[0]?.now ?? now);
  const end = new Date(Math.min(startOfDay(now).getTime(), today.getTime()));
  await refresh(db, { from: null, to: end });

  const stale = await sql<{ day: Date }>`
    select coalesce(shown.day, real.day) as day
    from (
      select time_bucket('1 day', time) as day, asset_symbol, last(price_usd, time) as close,
        max(price_usd) as high, min(price_usd) as low
      from price_history where time >= ${end} group by 1, 2
    ) as real
    full join (
      select day, asset_symbol, close, high, low from price_history_daily where day >= ${end}
    ) as shown using (day, asset_symbol)
    where (real.close, real.high, real.low) is distinct from (shown.close, shown.high, shown.low)
    order by 1 desc limit 1`.execute(db);
  const last = stale.rows[0]?.day;
  if (last) await refresh(db, { from: end, to: new Date(last.getTime() + dayMs) });
}

/** Not inside a transaction: TimescaleDB refuses it there. */
async function refresh(
  db: Db,
  { from, to }: { readonly from: Date | null; readonly to: Date },
): Promise<void> {
  await sql`
    call refresh_continuous_aggregate(
      'price_history_daily', ${from}::timestamptz, ${to}::timestamptz
    )`.execute(db);
}
