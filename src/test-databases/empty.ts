import { targetUrl } from '../database/target.ts';
import { createDatabase, dropDatabase } from './catalog.ts';
import { keyLength } from './name.ts';
import type { TestServer } from './test-server.ts';

/** Of no template. */
const key = '0'.repeat(keyLength);

/**
 * Creates an empty database, in which TimescaleDB runs no job, calls `use` with its URL, and drops it. Where the process
 * dies, `testDatabases.prune` drops it later. Throws `not-permitted`.
 */
export async function withEmptyDatabase<T>(
  server: TestServer,
  use: (url: string) => Promise<T>,
): Promise<T> {
  const name = await server.use((client) => createDatabase(client, { kind: 'clone', key }));
  try {
    return await use(targetUrl({ ...server.target, database: name }));
  } finally {
    await server.use(({ sql }) => dropDatabase(sql, name));
  }
}
