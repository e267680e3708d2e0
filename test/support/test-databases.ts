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
  /** The test databases of this role, the oldest first. */
  readonly list: () => Promise<readonly testDatabases.ListedDatabase[]>;
  /** Their kinds, sorted. */
  readonly kinds: () => Promise<readonly string[]>;
}

/**
 * The server, as a role that only this test has and that may create databases. Other tests do not see its templates
 * and clones. They are dropped when the test ends.
 */
export async function ownTestServer(
  serverUrl: string = inject('postgresUrl'),
): Promise<OwnTestServer> {
  const role = await createScratchRole(serverUrl, { rights: 'createdb' });
  const url = role.urlOf(databaseUrl(serverUrl, 'postgres'));
  const server = openServer(url);
  onTestFinished(async () => {
    await server.close();
    // The backend of a killed program may still work. The library keeps idle sessions open for a moment.
    await until('the role has no session', () => endIdleSessions(serverUrl, role.name));
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

/** true when no session is left. A session that was idle for less than 100 ms may be between two statements. */
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
