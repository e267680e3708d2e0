import { inject, onTestFinished } from 'vitest';
import { resolveTarget } from '../../src/database/target.ts';
import { openTestServer, type TestServer } from '../../src/provisioning/test-server.ts';
import { createScratchRole, databaseUrl } from './databases.ts';

/**
 * The server as a role of the test's own that may create databases: its templates and clones are nobody
 * else's, whatever other tests do meanwhile. What is left of them goes when the test ends.
 */
export async function ownTestServer(
  serverUrl: string = inject('postgresUrl'),
): Promise<{ readonly server: TestServer; readonly url: string; readonly role: string }> {
  const role = await createScratchRole(serverUrl, { rights: 'createdb' });
  const url = role.urlOf(databaseUrl(serverUrl, 'postgres'));
  const server = openServer(url);
  onTestFinished(async () => {
    const { dropAll } = await import('../../src/provisioning/test-databases.ts');
    await dropAll(server);
    await server.close();
    await role.drop();
  });
  return { server, url, role: role.name };
}

/** Closed when the test ends. */
export function openServer(url: string): TestServer {
  const target = resolveTarget(url);
  if (target.kind !== 'server') throw new TypeError(`${url} names no server`);
  return openTestServer(target, 'option');
}
