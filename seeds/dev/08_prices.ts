import type { DevContext, DevSeeder, NewRow } from '../../src/seeding/seeder.ts';
import { type CatalogueAsset, syntheticSource } from '../story/catalogue.ts';
import { clearSynthetic } from '../story/clear.ts';
import { daysBetween, foreignOwner, hiddenDays, refreshDays } from '../story/daily.ts';
import { countHistoricPrices, historicPrices, historySource } from '../story/history.ts';
import { assetsAt } from '../story/load-set.ts';
import {
  bitcoinMinutes,
  bitcoinPrices,
  bitcoinVolumeUsd,
  changeOver,
  hourlyPrices,
  hours,
} from '../story/prices.ts';
import { before, hourMs } from '../story/time.ts';

export const seeder: DevSeeder = {
  description: 'BTC per minute for a day, others hourly for a week',
  run: async (context) => {
    const { db, load, now } = context;
    const owner = await foreignOwner(db);
    if (owner !== undefined) {
      throw new Error(
        `price_history_daily has to be refreshed, and only its owner may do it: ${owner}`,
      );
    }
    const replaced = await clearSynthetic(db, 'price_history');
    await load('price_history', { rows: bitcoin(context), total: bitcoinMinutes });
    const others = assetsAt(context.scale).filter(({ symbol }) => symbol !== 'BTC');
    await load('price_history', { rows: pricesOf(others, context), total: others.length * hours });
    const written = daysBetween(before(now, hours * hourMs), now);
    const replacedDays = replaced ? daysBetween(replaced.from, replaced.to) : [];
    return { days: [...new Set([...written, ...replacedDays])] } satisfies Touched;
  },
  afterwards: async ({ db, now, seed, scale, historyFrom, importPrices }, outcomes) => {
    const days = (outcomes as readonly Touched[]).flatMap((outcome) => outcome.days);
    await refreshDays(db, { days, now });
    await refreshDays(db, { days: await hiddenDays(db, now), now });
    if (historyFrom) {
      const range = { from: historyFrom, now, seed, assets: assetsAt(scale) };
      const rows = historicPrices(range);
      await importPrices(historySource, { rows, total: countHistoricPrices(range) });
    }
  },
};

/** The days in which this run deleted or wrote prices. */
interface Touched {
  readonly days: readonly string[];
}

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

function* pricesOf(
  assets: readonly CatalogueAsset[],
  context: DevContext,
): Generator<NewRow<'price_history'>> {
  for (const asset of assets) {
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
