import type { DevSeeder, NewRow } from '../../src/seeding/seeder.ts';
import { portfoliosEach, type Setting, strangersAt } from '../story/cast.ts';
import { seedIds } from '../story/identity.ts';
import { namedTransactions, positions, transactionsEach } from '../story/positions.ts';

export const seeder: DevSeeder = {
  description: 'transactions that add up to the holdings',
  run: ({ merge, ...setting }) =>
    merge('transactions', {
      rows: transactions(setting),
      total: namedTransactions + strangersAt(setting.scale) * portfoliosEach * transactionsEach,
      ids: seedIds('transactions'),
    }),
};

function* transactions(setting: Setting): Generator<NewRow<'transactions'>> {
  for (const { transactions: own } of positions(setting)) yield* own;
}
