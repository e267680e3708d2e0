import { setTimeout as sleep } from 'node:timers/promises';
import type { Kysely } from 'kysely';
import { nameTestServer, readTestServer, surroundings } from '../config.ts';
import { engineKysely, openDatabase } from '../database/kysely.ts';
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

/** Where a test database comes from. */
export interface TestServerOptions {
  /** The server's URL. Default: TEST_DATABASE_URL, else a container. */
  readonly server?: string | undefined;
  /** The container, when it comes to one, outlives the process and serves the next. Default: false. */
  readonly reuseContainer?: boolean | undefined;
  readonly onProgress?: OnProgress | undefined;
}

export interface TestDatabaseOptions extends TestServerOptions, ContentOptions, TemplateOptions {
  /** `embedded`: TimescaleDB in this process, in memory, without a server. Default: `server`. */
  readonly engine?: 'server' | 'embedded' | undefined;
  /** So many ready clones are kept on the server, made in the background. Default: 0. */
  readonly ahead?: number | undefined;
  /** At most so many connections of `db` at once. Default: 5. */
  readonly maxConnections?: number | undefined;
  /** Where images for the embedded engine are kept. Default: node_modules/.cache/cryptosense-db. */
  readonly cacheFolder?: string | undefined;
}

/** A database of one's own: migrated, seeded where that was asked for, and nobody else's. */
export interface TestDatabase {
  readonly name: string;
  /** For other programs and languages, password included. Of the embedded engine, no other program can use it. */
  readonly url: string;
  /** Connects with the first query; `drop` closes it. */
  readonly db: Kysely<DB>;
  readonly origin: TestServerOrigin | 'embedded';
  /** `host:port`, or `embedded`. */
  readonly server: string;
  /** Drops it, whoever is connected to it. A second call does nothing. */
  readonly drop: () => Promise<void>;
  /** Closes `db` and leaves the database where it is, for somebody to look into; `drop` does nothing then. */
  readonly keep: () => Promise<void>;
  /** As `drop`: for `await using`. */
  readonly [Symbol.asyncDispose]: () => Promise<void>;
}

const defaultCacheFolder = 'node_modules/.cache/cryptosense-db';

/**
 * Creates a database of one's own, in about the time that PostgreSQL needs to copy one: from a template
 * that is made once on each server, for each state of migrations, seeds and server. The files are those
 * of now: what changed since the last call makes a template of its own.
 *
 * The environment comes from TEST_DATABASE_URL, or a container; `origin` says which. Throws
 * `no-test-server` without either, `not-permitted` for a role without CREATEDB, `lock-timeout` when
 * another process does not end making the template, and what `migrate.up` and `seed.dev` throw. A
 * process that dies leaves its databases behind, for `testDatabases.prune`.
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
    opened ??= openDatabase(target, { maxConnections, idleTimeoutMs: 2_000 });
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

/** Whichever comes first is the end; what comes later waits for it. One that failed can be tried again. */
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

/** A query that never ends would hold it up; dropping the database ends it. */
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
 * The server that `server` names, or the environment, which is read once a process; so is a container
 * started once. After `close()`, the next call opens it anew. Throws `no-test-server`,
 * `bad-configuration`.
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

/** Makes what the first test would wait for: the server, the template or image, and ready clones. */
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
