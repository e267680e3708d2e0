import { randomBytes } from 'node:crypto';
import { type Cache, cacheOver } from '../cache/cache.ts';
import { openCache } from '../cache/connection.ts';
import { keyNames, scanKeys } from '../cache/scan.ts';
import { parseCacheUrl } from '../cache/target.ts';
import { readTestCacheUrl, surroundings } from '../config.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import { linesOf, reachDocker } from './container.ts';

export interface TestCacheOptions {
  /** The URL of Redis. Default: TEST_REDIS_URL, else a container. */
  readonly server?: string | undefined;
}

export interface TestCache<Data = unknown> {
  readonly cache: Cache<Data>;
  /** What `createCache` takes to open the same keys: `createCache({ target: url, prefix })`. */
  readonly url: string;
  readonly prefix: string;
  /** Removes the keys of this prefix and closes the connection. A second call does nothing. */
  readonly drop: () => Promise<void>;
  /** The same as `drop`, for `await using`. */
  readonly [Symbol.asyncDispose]: () => Promise<void>;
}

/**
 * A cache for one test, with a prefix of its own, so that tests share a Redis. Throws `no-test-server` when none is
 * named and there is no container, and `cache-unavailable`, `package-missing`.
 *
 * @example
 * await using test = await createTestCache();
 * await test.cache.prices.set([{ symbol: 'BTC', priceUsd: '43012.5', time: new Date() }]);
 */
export async function createTestCache<Data = unknown>({
  server,
}: TestCacheOptions = {}): Promise<TestCache<Data>> {
  const url = server ?? readTestCacheUrl(surroundings()) ?? (await containerUrl());
  const prefix = `test_${randomBytes(6).toString('hex')}`;
  const connection = openCache(parseCacheUrl(url));
  const cache = cacheOver<Data>(connection, prefix);
  await cache.ping().catch(async (error: unknown) => {
    await connection.close();
    throw error;
  });
  const remove = async () => {
    try {
      await connection.onServers(async (send) => {
        for (const name of keyNames) {
          for await (const keys of scanKeys(send, name, prefix)) {
            await Promise.all(keys.map((key) => send('UNLINK', key)));
          }
        }
      });
    } finally {
      await connection.close();
    }
  };
  let dropping: Promise<void> | undefined;
  const drop = () => {
    dropping ??= remove();
    return dropping;
  };
  return { cache, url, prefix, drop, [Symbol.asyncDispose]: drop };
}

const image = 'redis:7-alpine';
let container: Promise<string> | undefined;

/** One container for all tests of this process. It ends with the process. */
async function containerUrl(): Promise<string> {
  container ??= startContainer();
  container.catch(() => {
    container = undefined;
  });
  return container;
}

async function startContainer(): Promise<string> {
  const { GenericContainer } = await reachDocker(noTestCache);
  const started = await new GenericContainer(image)
    .withExposedPorts(6_379)
    .start()
    .catch((error: unknown) => {
      throw noTestCache([`${image} does not start`, ...linesOf(error)], error);
    });
  return `redis://${started.getHost()}:${started.getMappedPort(6_379)}`;
}

function noTestCache(
  reasons: readonly string[],
  cause: unknown,
): CryptosenseDbError<'no-test-server'> {
  return new CryptosenseDbError(
    'no-test-server',
    {
      message: 'there is no Redis for tests',
      evidence: ['TEST_REDIS_URL is not set', ...reasons],
      hint: 'name one in TEST_REDIS_URL (redis://127.0.0.1:6379), or have Docker run, with the optional package: npm install --save-dev testcontainers@11',
    },
    { cause },
  );
}
