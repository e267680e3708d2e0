import type { DevSeeder, NewRow } from '../../src/seeding/seeder.ts';
import { people, portfoliosEach, type Setting, strangersAt } from '../story/cast.ts';
import { seedIds } from '../story/identity.ts';

export const seeder: DevSeeder = {
  description: 'two portfolios, and five for each further user',
  run: ({ merge, ...setting }) =>
    merge('portfolios', {
      rows: portfolios(setting),
      total: 2 + strangersAt(setting.scale) * portfoliosEach,
      ids: seedIds('portfolios'),
    }),
};

const colors = ['#3B82F6', '#10B981', '#F59E0B', '#8B5CF6', '#EF4444'] as const;

function* portfolios(setting: Setting): Generator<NewRow<'portfolios'>> {
  for (const { id: userId, portfolios: own } of people(setting)) {
    for (const [index, { id, name, createdAt }] of own.entries()) {
      yield {
        id,
        user_id: userId,
        name,
        is_primary: index === 0,
        color: colors[index % colors.length] ?? colors[0],
        created_at: createdAt,
        updated_at: createdAt,
        deleted_at: null,
      };
    }
  }
}
