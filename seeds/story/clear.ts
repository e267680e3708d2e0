import { sql } from 'kysely';
import type { DevContext } from '../../src/seeding/seeder.ts';
import { syntheticSource } from './catalogue.ts';
import { type SeededTable, seedIds } from './identity.ts';

type Db = DevContext['db'];

/** Deletes the rows of a table that have seeded ids. */
export async function clearSeeded(db: Db, table: SeededTable): Promise<void> {
  const { from, to } = seedIds(table);
  await db.deleteFrom(table).where('id', '>=', from).where('id', '<=', to).execute();
}

/**
 * Deletes the synthetic rows of a hypertable, compressed ones too. A delete decompresses the chunks that
 * it reads, so it is limited to the time that these rows span. Returns that time.
 */
export async function clearSynthetic(
  db: Db,
  table: 'price_history' | 'social_sentiment_history',
): Promise<{ readonly from: Date; readonly to: Date } | undefined> {
  const { first, last } = await db
    .selectFrom(table)
    .where('data_source', '=', syntheticSource)
    .select(({ fn }) => [fn.min('time').as('first'), fn.max('time').as('last')])
    .executeTakeFirstOrThrow();
  if (first === null || last === null) return undefined;
  // Older releases of TimescaleDB have neither the limit nor the setting.
  await sql`
    select set_config(name, '0', true) from pg_settings
    where name = 'timescaledb.max_tuples_decompressed_per_dml_transaction'`.execute(db);
  await db
    .deleteFrom(table)
    .where('data_source', '=', syntheticSource)
    .where('time', '>=', first)
    .where('time', '<=', last)
    .execute();
  return { from: first, to: last };
}
