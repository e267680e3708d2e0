import type { Kysely } from 'kysely';
import { test as base, expectTypeOf } from 'vitest';
import type { Database } from '../../src/index.ts';
import { databaseFixtures, type TestDatabase, type WithTestDatabase } from '../../src/testing.ts';

for (const per of ['test', 'file'] as const) {
  const test = base.extend<WithTestDatabase>(databaseFixtures({ per, seed: 'dev' }));
  test(`fixtures for each ${per} give what createTestDatabase gives`, ({ database }) => {
    expectTypeOf(database).toEqualTypeOf<TestDatabase>();
    expectTypeOf(database.db).toEqualTypeOf<Kysely<Database>>();
  });
}
