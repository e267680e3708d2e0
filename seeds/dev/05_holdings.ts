import type { DevSeeder, NewRow } from '../../src/seeding/seeder.ts';
import { portfoliosEach, type Setting, strangersAt } from '../story/cast.ts';
import { clearSeeded } from '../story/clear.ts';
import { holdingsEach, namedHoldings, positions } from '../story/positions.ts';

export const seeder: DevSeeder = {
  description: 'three holdings, twenty for each further portfolio',
  run: async ({ db, load, wrote, ...setting }) => {
    await clearSeeded(db, 'holdings');
    const rows = holdings(setting);
    const place = ['portfolio_id', 'asset_symbol', 'exchange_source', 'wallet_address'] as const;
    for (let number = 0; number < namedHoldings; number += 1) {
      const next = rows.next();
      if (next.done) break;
      // A user may have entered the same holding by hand.
      await db
        .insertInto('holdings')
        .values(next.value)
        .onConflict((conflict) => conflict.columns(place).doUpdateSet(next.value))
        .execute();
      wrote('holdings', 1);
    }
    const total = strangersAt(setting.scale) * portfoliosEach * holdingsEach;
    await load('holdings', { rows, total });
  },
};

function* holdings(setting: Setting): Generator<NewRow<'holdings'>> {
  for (const { holdings: own } of positions(setting)) yield* own;
}
