import type { DevSeeder, NewRow } from '../../src/seeding/seeder.ts';
import { namedUsers, portfoliosEach, type Setting, strangersAt } from '../story/cast.ts';
import { seedId, seedIds } from '../story/identity.ts';
import { holdingsEach, namedHoldings, positions } from '../story/positions.ts';

export const seeder: DevSeeder = {
  description: 'three holdings, twenty for each further portfolio',
  run: async ({ db, merge, wrote, ...setting }) => {
    const { from, to } = seedIds('holdings');
    const firstOfStrangers = seedId('holdings', namedUsers.length * portfoliosEach * holdingsEach);
    await db
      .deleteFrom('holdings')
      .where('id', '>=', from)
      .where('id', '<', firstOfStrangers)
      .execute();
    const rows = holdings(setting);
    const namedRows = [...take(rows, namedHoldings)];
    const total = strangersAt(setting.scale) * portfoliosEach * holdingsEach;
    await merge('holdings', { rows, total, ids: { from: firstOfStrangers, to } });
    const place = ['portfolio_id', 'asset_symbol', 'exchange_source', 'wallet_address'] as const;
    for (const row of namedRows) {
      // A user may have entered the same holding by hand.
      await db
        .insertInto('holdings')
        .values(row)
        .onConflict((conflict) => conflict.columns(place).doUpdateSet(row))
        .execute();
      wrote('holdings', 1);
    }
  },
};

/** Leaves the rows after these in the generator. */
function* take<T>(rows: Iterator<T>, count: number): Generator<T> {
  for (let number = 0; number < count; number += 1) {
    const next = rows.next();
    if (next.done) return;
    yield next.value;
  }
}

function* holdings(setting: Setting): Generator<NewRow<'holdings'>> {
  for (const { holdings: own } of positions(setting)) yield* own;
}
