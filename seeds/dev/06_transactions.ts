import type { DevSeeder, NewRow } from '../../src/seeding/seeder.ts';
import { portfoliosEach, type Setting, strangersAt } from '../story/cast.ts';
import { clearSeeded } from '../story/clear.ts';
import { namedTransactions, positions, transactionsEach } from '../story/positions.ts';

export const seeder: DevSeeder = {
  description: 'transactions that add up to the holdings',
  run: async ({ db, load, ...setting }) => {
    await clearSeeded(db, 'transactions');
    const total =
      namedTransactions + strangersAt(setting.scale) * portfoliosEach * transactionsEach;
    await load('transactions', { rows: transactions(setting), total });
  },
};

function* transactions(setting: Setting): Generator<NewRow<'transactions'>> {
  for (const { transactions: own } of positions(setting)) yield* own;
}
