import { resolveTarget, type ServerTarget } from '../database/target.ts';
import { CryptosenseDbError, messageOf } from '../runtime/errors.ts';
import type { OnProgress } from '../runtime/progress.ts';

/** The server that CryptoSense's database runs on. */
export const containerImage = 'timescale/timescaledb:2.28.3-pg15';

/** Only programs on this machine can reach the container, and it holds no data of value. */
const password = 'test';

/** The data ends with the container, so that nothing has to reach a disk. */
const settings = {
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  max_connections: '300',
  'timescaledb.telemetry_level': 'off',
};

export interface ContainerOptions {
  /** Leave the container running at the end, and use the one that an earlier run left running. */
  readonly reuse: boolean;
  readonly onProgress?: OnProgress | undefined;
}

export interface RunningContainer {
  readonly target: ServerTarget;
  /** Docker's id, as `docker rm --force` takes it. */
  readonly id: string;
  /** Does nothing with `reuse`. */
  readonly stop: () => Promise<void>;
}

/**
 * Starts a server in a container, with its data in memory, through the optional package testcontainers. Without
 * `reuse` the container ends with this process, even when the process is killed.
 * Throws `no-test-server` without the package or without Docker, and when the container does not start.
 */
export async function startContainer({
  reuse,
  onProgress,
}: ContainerOptions): Promise<RunningContainer> {
  const { GenericContainer, Wait } = await reachDocker(noTestServer);
  onProgress?.({ kind: 'waiting-for-server', reason: `a container of ${containerImage} starts` });
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const definition = new GenericContainer(containerImage)
    .withEnvironment({ POSTGRES_PASSWORD: password })
    .withCommand(['postgres', ...flags])
    .withExposedPorts(5432)
    .withTmpFs({ '/var/lib/postgresql/data': 'rw' })
    // The image starts the server twice: first to set it up.
    .withWaitStrategy(Wait.forLogMessage(/database system is ready to accept connections/, 2));
  const container = await (reuse ? definition.withReuse() : definition)
    .start()
    .catch((error: unknown) => {
      throw noTestServer([`${containerImage} does not start`, ...linesOf(error)], error);
    });
  const place = `${container.getHost()}:${container.getMappedPort(5432)}`;
  return {
    target: serverTarget(`postgresql://postgres:${password}@${place}/postgres?sslmode=disable`),
    id: container.getId().slice(0, 12),
    stop: async () => {
      if (!reuse) await container.stop();
    },
  };
}

type Software = typeof import('testcontainers');

type Refusal = (reasons: readonly string[], cause: unknown) => Error;

/** The package that starts containers. Throws what `refusal` makes of the reason, without the package and without Docker. */
export async function reachDocker(refusal: Refusal): Promise<Software> {
  const software = await loadSoftware(refusal);
  await software.getContainerRuntimeClient().catch((error: unknown) => {
    throw refusal(['Docker does not answer', ...linesOf(error)], error);
  });
  return software;
}

async function loadSoftware(refusal: Refusal): Promise<Software> {
  try {
    const software = await import('testcontainers');
    // Vitest gives the exports of a CommonJS package as `default` only.
    return 'GenericContainer' in software ? software : (software as { default: Software }).default;
  } catch (error) {
    throw refusal(['the package testcontainers cannot be loaded', ...linesOf(error)], error);
  }
}

function serverTarget(url: string): ServerTarget {
  const target = resolveTarget(url);
  if (target.kind === 'embedded') throw new TypeError(`${url} names no server`);
  return target;
}

export function linesOf(error: unknown): readonly string[] {
  return messageOf(error).split('\n').slice(0, 3);
}

function noTestServer(
  reasons: readonly string[],
  cause: unknown,
): CryptosenseDbError<'no-test-server'> {
  return new CryptosenseDbError(
    'no-test-server',
    {
      message: 'there is no server to make test databases on',
      evidence: ['TEST_DATABASE_URL is not set', ...reasons],
      hint: [
        'name a server with TimescaleDB in TEST_DATABASE_URL (postgresql://user:password@host:5432/postgres),',
        'or have Docker run, with the optional package: npm install --save-dev testcontainers@11',
      ].join(' '),
    },
    { cause },
  );
}
