import type { DevSeeder, NewRow } from '../../src/seeding/seeder.ts';
import type { CatalogueAsset } from '../story/catalogue.ts';
import { seedId, seedIds } from '../story/identity.ts';
import { assetsAt } from '../story/load-set.ts';

export const seeder: DevSeeder = {
  description: 'synthetic assets: 20, or 50 for 10,000 users',
  run: ({ merge, now, scale }) => {
    const assets = assetsAt(scale);
    return merge('assets', {
      rows: rowsOf(assets, now),
      total: assets.length,
      ids: seedIds('assets'),
      others: 'keep',
    });
  },
};

function* rowsOf(assets: readonly CatalogueAsset[], now: Date): Generator<NewRow<'assets'>> {
  for (const [index, asset] of assets.entries()) {
    yield {
      id: seedId('assets', index),
      coingecko_id: asset.coingeckoId,
      symbol: asset.symbol,
      name: asset.name,
      market_cap_rank: index + 1,
      current_price_usd: asset.priceUsd.toFixed(8),
      market_cap_usd: (asset.priceUsd * asset.supply).toFixed(2),
      volume_24h_usd: asset.volume24hUsd.toFixed(2),
      price_updated_at: now,
      image_url: null,
      is_active: true,
      created_at: now,
      updated_at: now,
    };
  }
}
