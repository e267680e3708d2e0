import { inject, onTestFinished } from 'vitest';
import { resolveTarget } from '../../src/database/target.ts';
import * as testDatabases from '../../src/provisioning/test-databases.ts';
import { openTestServer, type TestServer } from '../../src/provisioning/test-server.ts';
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
    await testDatabases.dropAll(server);
    await server.close();
    // What the library keeps open for a moment holds on to what the role owns.
    await until('no session of the role is left', async () => {
      let left = 0;
      await onServer(serverUrl, async (admin) => {
        const rows = await admin`
          select pg_terminate_backend(pid) from pg_stat_activity where usename = ${role.name}`;
        left = rows.length;
      });
      return left === 0;
    });
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
