import { execFileSync } from 'node:child_process';
import { getContainerRuntimeClient } from 'testcontainers';
import { describe, expect, it, onTestFinished } from 'vitest';
import { targetUrl } from '../../src/database/target.ts';
import { startContainer } from '../../src/test-databases/container.ts';
import * as testDatabases from '../../src/test-databases/test-databases.ts';
import { obtainTestServer } from '../../src/test-databases/test-server.ts';
import { cleanEnvironment, runCli } from '../support/cli.ts';
import { connect } from '../support/databases.ts';

const docker = await getContainerRuntimeClient().then(
  () => undefined,
  () => 'Docker does not answer here',
);
const name = docker === undefined ? 'a container' : `a container (skipped: ${docker})`;

describe.skipIf(docker !== undefined)(name, () => {
  it('is started when no server is named, keeps its data in memory, and ends with the test server', async () => {
    const server = await obtainTestServer(undefined, { reuseContainer: false });
    expect(server.origin).toBe('container');
    const { databases } = await testDatabases.create(server, {});
    const sql = connect(databases[0]?.url ?? '', 1);
    expect(await sql`select count(*)::int as n from cryptosense_db.migrations`).toEqual([
      { n: expect.any(Number) },
    ]);
    const [settings] = await sql`
      select current_setting('fsync') as fsync, current_setting('server_version_num')::int / 10000 as major,
        (select extversion from pg_extension where extname = 'timescaledb') as timescale`;
    expect(settings).toEqual({ fsync: 'off', major: 15, timescale: '2.28.3' });
    await sql.end();
    await server.close();
    await expect(startedAt(targetUrl(server.target))).rejects.toThrow();
  });

  it('still runs after the command ends, and the next command uses it', async () => {
    const env = Object.fromEntries(
      Object.entries(process.env).filter(
        ([key]) => /^(TESTCONTAINERS_|DOCKER_)/.test(key) && cleanEnvironment()[key],
      ),
    ) as Record<string, string>;
    const before = execFileSync('docker', ['ps', '--quiet'], { encoding: 'utf8' });
    const first = await runCli(['test-db', 'create'], { env });
    const id = /docker rm --force (\w+)/.exec(first.stderr)?.[1] ?? '';
    onTestFinished(() => {
      // The test does not stop a container that ran before the test.
      if (!before.includes(id)) execFileSync('docker', ['rm', '--force', id]);
    });
    expect(first).toMatchObject({ code: 0 });
    const again = await startContainer({ reuse: true });
    expect(again.id).toBe(id);
    await again.stop();
    const listed = await runCli(['test-db', 'list', '--json'], { env });
    const { origin, databases } = JSON.parse(listed.stdout);
    expect(origin).toBe('container');
    const clones = databases.filter(({ kind }: { kind: string }) => kind === 'clone');
    expect(first.stdout).toContain(clones.at(-1).name);
  });
});

async function startedAt(url: string): Promise<unknown> {
  const sql = connect(url, 1);
  try {
    return await sql`select pg_postmaster_start_time()`;
  } finally {
    await sql.end({ timeout: 1 });
  }
}
