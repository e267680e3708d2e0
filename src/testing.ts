/** Test databases: a new one for every test, migrated and seeded, in the time that the server needs to copy one. */
export type { DB as Database } from './database/types.ts';
export { CryptosenseDbError, isError } from './runtime/errors.ts';
export {
  createTestCache,
  type TestCache,
  type TestCacheOptions,
} from './test-databases/test-cache.ts';
export {
  createTestDatabase,
  type TestDatabase,
  type TestDatabaseOptions,
  type TestServerOptions,
  testServer as openTestServer,
} from './test-databases/test-database.ts';
/** The commands of `cryptosense-db test-db` as functions, on a server that `openTestServer` opened. */
export * as testDatabases from './test-databases/test-databases.ts';
export type { TestServer, TestServerOrigin } from './test-databases/test-server.ts';
export {
  type DatabaseFixtures,
  databaseFixtures,
  type FixtureOptions,
  globalSetup,
  type WithTestDatabase,
} from './test-databases/vitest.ts';
