import { existsSync } from 'node:fs';
import type { TestProject } from 'vitest/node';
import { startEmbeddedPostgres } from './embedded-postgres.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** A server for tests of locks, crashes and concurrency: TimescaleDB not needed. */
    postgresUrl: string;
    /** A server with TimescaleDB; undefined: the schema's tests use the embedded engine. */
    timescaleUrl: string | undefined;
  }
}

const image = 'timescale/timescaledb:2.28.3-pg15';

/**
 * The servers of a test run. `TEST_DATABASE_URL` names one with TimescaleDB that serves for
 * everything; else TimescaleDB comes from a container where Docker answers, or is the embedded
 * engine, and plain PostgreSQL comes from embedded-postgres.
 */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  // embedded-postgres hooks into the end of the process and makes it exit with 0, whatever the
  // tests found: leave with Vitest's own code before it.
  process.prependListener('beforeExit', () => process.exit());
  if (!existsSync('dist/cli.cjs')) throw new Error('dist/ is not built: npm run build');
  const given = process.env.TEST_DATABASE_URL;
  if (given) {
    project.provide('postgresUrl', given);
    project.provide('timescaleUrl', given);
    say('servers: TEST_DATABASE_URL');
    return async () => {};
  }
  const container = await startContainer();
  const server = await startEmbeddedPostgres().catch(async (error: unknown) => {
    await container?.stop();
    throw error;
  });
  project.provide('postgresUrl', server.url);
  project.provide('timescaleUrl', container?.url);
  say(
    container
      ? `servers: TimescaleDB from the container ${image}, PostgreSQL from embedded-postgres`
      : 'servers: TimescaleDB from the embedded engine (no Docker here), PostgreSQL from embedded-postgres',
  );
  return async () => {
    await server.stop();
    await container?.stop();
  };
}

interface RunningContainer {
  readonly url: string;
  readonly stop: () => Promise<unknown>;
}

/** undefined where there is no Docker, or where the image cannot be had, which is said. */
async function startContainer(): Promise<RunningContainer | undefined> {
  const { GenericContainer, Wait, getContainerRuntimeClient } = await import('testcontainers');
  try {
    await getContainerRuntimeClient();
  } catch {
    return undefined;
  }
  try {
    const container = await new GenericContainer(image)
      .withEnvironment({ POSTGRES_PASSWORD: 'test', TIMESCALEDB_TELEMETRY: 'off' })
      .withExposedPorts(5432)
      .withTmpFs({ '/var/lib/postgresql/data': 'rw' })
      .withWaitStrategy(Wait.forLogMessage(/database system is ready to accept connections/, 2))
      .start();
    const address = `${container.getHost()}:${container.getMappedPort(5432)}`;
    return { url: `postgresql://postgres:test@${address}/postgres`, stop: () => container.stop() };
  } catch (error) {
    say(`Docker answers, but the image ${image} does not start: ${String(error)}`);
    return undefined;
  }
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
