import { setTimeout as sleep } from 'node:timers/promises';
import type { Kysely } from 'kysely';
import { nameTestServer, readTestServer, surroundings } from '../config.ts';
import { engineKysely } from '../database/embedded/kysely.ts';
import { openServerDatabase } from '../database/kysely.ts';
import { targetUrl } from '../database/target.ts';
import type { DB } from '../database/types.ts';
import { CryptosenseDbError, messageOf } from '../runtime/errors.ts';
import type { OnProgress } from '../runtime/progress.ts';
import { requireWhole } from '../runtime/whole-numbers.ts';
import { fillReady, mostAtOnce, provideClone } from './clone.ts';
import { type ContentOptions, type Recipe, readRecipe } from './recipe.ts';
import type { TemplateOptions } from './template.ts';
import * as testDatabases from './test-databases.ts';
import {
  describeServer,
  obtainTestServer,
  type TestServer,
  type TestServerOrigin,
} from './test-server.ts';

/** Where test databases are created. */
export interface TestServerOptions {
  /** The server's URL. Default: TEST_DATABASE_URL, else a container. */
  readonly server?: string | undefined;
  /** Where a container is started, it keeps running after the process and serves the next one. Default: false. */
  readonly reuseContainer?: boolean | undefined;
  readonly onProgress?: OnProgress | undefined;
}

export interface TestDatabaseOptions extends TestServerOptions, ContentOptions, TemplateOptions {
  /** `embedded`: TimescaleDB in the memory of this process, without a server. Default: `server`. */
  readonly engine?: 'server' | 'embedded' | undefined;
  /** How many ready clones to keep on the server. They are made in the background. Default: 0. */
  readonly ahead?: number | undefined;
  /** The most connections of `db` at once. Default: 5. */
  readonly maxConnections?: number | undefined;
  /** The folder for images of the embedded engine. Default: node_modules/.cache/cryptosense-db. */
  readonly cacheFolder?: string | undefined;
}

/** A migrated database, seeded on request, that only this caller has. */
export interface TestDatabase {
  readonly name: string;
  /** For other programs, with the password. No other program can connect to the embedded engine. */
  readonly url: string;
  /** Connects with the first query; `drop` closes it. */
  readonly db: Kysely<DB>;
  readonly origin: TestServerOrigin | 'embedded';
  /** `host:port`, or `embedded`. */
  readonly server: string;
  /** Drops the database and ends the sessions in it. A second call does nothing. */
  readonly drop: () => Promise<void>;
  /** Closes `db` and keeps the database, so that a person can look into it. `drop` does nothing afterwards. */
  readonly keep: () => Promise<void>;
  /** The same as `drop`, for `await using`. */
  readonly [Symbol.asyncDispose]: () => Promise<void>;
}

const defaultCacheFolder = 'node_modules/.cache/cryptosense-db';

/**
 * Creates a database for the caller, in about the time that PostgreSQL needs to copy one. It is a copy of a template
 * that is made once on a server for each state of the migrations, the seeds and the server. Each call uses the files
 * as they are at that moment.
 *
 * The server is the one in TEST_DATABASE_URL, else a container. Throws `no-test-server` without both,
 * `not-permitted` for a role without CREATEDB, `lock-timeout` when another process takes too long to make the
 * template, and what `migrate.up` and `seed.dev` throw. A process that dies leaves its databases behind:
 * `testDatabases.prune` drops them.
 *
 * @example
 * await using database = await createTestDatabase({ seed: 'dev' });
 * await database.db.selectFrom('users').selectAll().execute();
 */
export async function createTestDatabase(options: TestDatabaseOptions = {}): Promise<TestDatabase> {
  if (options.engine === 'embedded') return createEmbedded(options);
  const { ahead = 0, maxConnections = 5 } = options;
  requireWhole({ ahead }, { from: 0, to: mostAtOnce });
  requireWhole({ maxConnections }, { from: 1, to: mostAtOnce });
  // First: faulty files start no container.
  const recipe = readRecipe(options);
  const server = await testServer(options);
  const name = await provideClone(server, recipe, options);
  if (ahead > 0) refill(server, { recipe, count: ahead, onProgress: options.onProgress });
  const target = { ...server.target, database: name };
  let opened: Kysely<DB> | undefined;
  const open = () => {
    opened ??= openServerDatabase(target, { maxConnections, idleTimeoutMs: 2_000 });
    return opened;
  };
  return {
    name,
    url: targetUrl(target),
    get db() {
      return open();
    },
    origin: server.origin,
    server: describeServer(server),
    ...endings({
      keep: async () => opened && closeKysely(opened),
      drop: async () => {
        const [, dropping] = await Promise.allSettled([
          opened && closeKysely(opened),
          testDatabases.drop(server, [name]),
        ]);
        if (dropping.status === 'rejected') throw dropping.reason;
      },
    }),
  };
}

type Endings = Pick<TestDatabase, 'drop' | 'keep' | typeof Symbol.asyncDispose>;

/** Only the first call ends the database; later calls wait for it. A call that failed can be repeated. */
function endings({ keep, drop }: Pick<TestDatabase, 'drop' | 'keep'>): Endings {
  let ended: Promise<void> | undefined;
  const first = (end: () => Promise<void>) => () => {
    ended ??= end().catch((error: unknown) => {
      ended = undefined;
      throw error;
    });
    return ended;
  };
  return { keep: first(keep), drop: first(drop), [Symbol.asyncDispose]: first(drop) };
}

/** Closing waits for running queries. After two seconds it is given up: dropping the database ends them. */
async function closeKysely(db: Kysely<DB>): Promise<void> {
  const done = new AbortController();
  const patience = sleep(2_000, undefined, { signal: done.signal }).catch(() => {});
  await Promise.race([db.destroy(), patience]).finally(() => done.abort());
}

async function createEmbedded(options: TestDatabaseOptions): Promise<TestDatabase> {
  const foreign = (['server', 'ahead', 'reuseContainer', 'maxConnections'] as const).filter(
    (name) => options[name] !== undefined,
  );
  if (foreign.length > 0) {
    throw new CryptosenseDbError('bad-configuration', {
      message: `${foreign.join(', ')} ${foreign.length === 1 ? 'has' : 'have'} no meaning for the embedded engine`,
    });
  }
  const { openFromImage } = await import('./embedded-image.ts');
  const { cacheFolder = defaultCacheFolder } = options;
  const engine = await openFromImage(readRecipe(options), { ...options, cacheFolder });
  const db = engineKysely(engine);
  const close = async () => {
    await closeKysely(db);
    await engine.close();
  };
  return {
    name: 'postgres',
    url: 'embedded::memory:',
    db,
    origin: 'embedded',
    server: 'embedded',
    ...endings({ keep: close, drop: close }),
  };
}

const servers = new Map<string | undefined, Promise<TestServer>>();

/**
 * The server that `server` or TEST_DATABASE_URL names, else a container. A process reads the variable once and starts
 * one container. After `close()` the next call opens the server again. Throws `no-test-server`, `bad-configuration`.
 */
export async function testServer(options: TestServerOptions): Promise<TestServer> {
  const { server: url, reuseContainer = false, onProgress } = options;
  const known = servers.get(url);
  if (known) return known;
  const obtain = async () => {
    const named = readTestServer({ url }, surroundings());
    const server = await obtainTestServer(named, { reuseContainer, onProgress });
    const close = async () => {
      servers.delete(url);
      await server.close();
    };
    return { ...server, close };
  };
  const opening = obtain();
  servers.set(url, opening);
  opening.catch(() => servers.delete(url));
  return opening;
}

/** Starts the server, and makes the template or the image and the ready clones, so that no test waits for them. */
export async function prepareTestDatabases(
  options: TestDatabaseOptions,
): Promise<{ readonly stop: () => Promise<void> }> {
  const recipe = readRecipe(options);
  const { cacheFolder = defaultCacheFolder, ahead = 0, onProgress } = options;
  requireWhole({ ahead }, { from: 0, to: mostAtOnce });
  if (options.engine === 'embedded') {
    const { ensureImage } = await import('./embedded-image.ts');
    await ensureImage(recipe, { ...options, cacheFolder });
    onProgress?.({
      kind: 'test-server',
      origin: 'embedded',
      target: 'embedded',
      container: undefined,
    });
    return { stop: async () => {} };
  }
  const server = await testServer(options);
  try {
    await fillReady(server, recipe, { ...options, count: ahead });
  } catch (error) {
    await server.close();
    throw error;
  }
  nameTestServer(targetUrl(server.target));
  return { stop: server.close };
}

/** In the background. The next database meets the same failure, and throws it. */
function refill(
  server: TestServer,
  {
    recipe,
    count,
    onProgress,
  }: { readonly recipe: Recipe; readonly count: number } & Pick<TestServerOptions, 'onProgress'>,
): void {
  fillReady(server, recipe, { count }).catch((error: unknown) => {
    onProgress?.({ kind: 'notice', severity: 'WARNING', message: messageOf(error) });
  });
}
