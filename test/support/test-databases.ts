import { inject, onTestFinished } from 'vitest';
import { resolveTarget } from '../../src/database/target.ts';
import * as testDatabases from '../../src/test-databases/test-databases.ts';
import { openTestServer, type TestServer } from '../../src/test-databases/test-server.ts';
import { createScratchRole, databaseUrl, onServer } from './databases.ts';
import { until } from './recovery.ts';

export interface OwnTestServer {
  readonly server: TestServer;
  readonly url: string;
  readonly role: string;
  /** What there is of this role's, the oldest first. */
  readonly list: () => Promise<readonly testDatabases.ListedDatabase[]>;
  /** Their kinds alone, sorted. */
  readonly kinds: () => Promise<readonly string[]>;
}

/**
 * The server as a role of the test's own that may create databases: its templates and clones are nobody
 * else's, whatever other tests do meanwhile. What is left of them goes when the test ends.
 */
export async function ownTestServer(
  serverUrl: string = inject('postgresUrl'),
): Promise<OwnTestServer> {
  const role = await createScratchRole(serverUrl, { rights: 'createdb' });
  const url = role.urlOf(databaseUrl(serverUrl, 'postgres'));
  const server = openServer(url);
  onTestFinished(async () => {
    await server.close();
    // A killed program's backend may be at work still; what the library keeps open for a moment is not.
    await until('no session of the role is left', () => endIdleSessions(serverUrl, role.name));
    const last = openServer(url);
    await testDatabases.dropAll(last);
    await last.close();
    await role.drop();
  });
  const list = async () => {
    const { databases } = await testDatabases.list(server);
    return databases.filter(({ owner }) => owner === role.name);
  };
  const kinds = async () => (await list()).map(({ kind }) => kind).sort();
  return { server, url, role: role.name, list, kinds };
}

/** Closed when the test ends. */
export function openServer(url: string): TestServer {
  const target = resolveTarget(url);
  if (target.kind !== 'server') throw new TypeError(`${url} names no server`);
  return openTestServer(target, 'option');
}

/** true when none is left. One between two statements is not idle: the mark follows the database. */
async function endIdleSessions(serverUrl: string, role: string): Promise<boolean> {
  let left = 0;
  await onServer(serverUrl, async (admin) => {
    await admin`
      select pg_terminate_backend(pid) from pg_stat_activity
      where usename = ${role} and state = 'idle' and state_change < now() - interval '100 ms'`;
    const sessions = await admin`select from pg_stat_activity where usename = ${role}`;
    left = sessions.length;
  });
  return left === 0;
}
