import type { DevContext } from '../../src/seeding/seeder.ts';
import { syntheticSource } from './catalogue.ts';
import { type SeededTable, seedIds } from './identity.ts';

type Db = DevContext['db'];

/** Takes away the rows of a table that have seeded ids. */
export async function clearSeeded(db: Db, table: SeededTable): Promise<void> {
  const { from, to } = seedIds(table);
  await db.deleteFrom(table).where('id', '>=', from).where('id', '<=', to).execute();
}

/**
 * Takes away the synthetic rows of a hypertable: within the time that they span, since what has been
 * compressed is unpacked where it is deleted from.
 */
export async function clearSynthetic(
  db: Db,
  table: 'price_history' | 'social_sentiment_history',
): Promise<void> {
  const { first, last } = await db
    .selectFrom(table)
    .where('data_source', '=', syntheticSource)
    .select(({ fn }) => [fn.min('time').as('first'), fn.max('time').as('last')])
    .executeTakeFirstOrThrow();
  if (first === null || last === null) return;
  await db
    .deleteFrom(table)
    .where('data_source', '=', syntheticSource)
    .where('time', '>=', first)
    .where('time', '<=', last)
    .execute();
}
