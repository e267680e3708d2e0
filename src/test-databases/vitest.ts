import {
  createTestDatabase,
  prepareTestDatabases,
  type TestDatabase,
  type TestDatabaseOptions,
} from './test-database.ts';

export interface FixtureOptions extends TestDatabaseOptions {
  /** Whose own a database is: each test's, or each file's. Default: `test`. */
  readonly per?: 'test' | 'file' | undefined;
}

/** What tests find in their context: `test.extend<WithTestDatabase>(databaseFixtures())`. */
export interface WithTestDatabase {
  readonly database: TestDatabase;
}

/** As much of a Vitest test as decides whether its database is kept. */
interface TestContext {
  readonly task: {
    readonly name: string;
    readonly fails?: boolean | undefined;
    readonly retry?: number | { readonly count?: number | undefined } | undefined;
    readonly result?:
      | { readonly state: string; readonly retryCount?: number | undefined }
      | undefined;
  };
}

type Use<T> = (value: T) => Promise<void>;

/** As Vitest takes fixtures; of its types nothing else is needed, and so the package is not. */
export interface DatabaseFixtures {
  readonly database:
    | ((context: TestContext, use: Use<TestDatabase>) => Promise<void>)
    | [
        fixture: (context: object, use: Use<TestDatabase>) => Promise<void>,
        options: { readonly scope: 'file' },
      ];
  /** Sees which tests failed, for a database that they share. */
  readonly failureWatch?: [
    fixture: (context: TestContext, use: Use<undefined>) => Promise<void>,
    options: { readonly auto: true },
  ];
}

/**
 * Fixtures for Vitest's `test.extend`: each test that asks for `database`, or each file with such a
 * test, has one of its own, dropped afterwards. Where a test failed it is kept, and its URL stands on
 * stderr, without a password that TEST_DATABASE_URL brought.
 */
export function databaseFixtures({
  per = 'test',
  ...options
}: FixtureOptions = {}): DatabaseFixtures {
  if (per === 'test') {
    return {
      database: async ({ task }, use) => {
        const database = await createTestDatabase(options);
        await use(database);
        await putAway(database, isFailed(task) ? [task.name] : []);
      },
    };
  }
  let failed: string[] = [];
  return {
    database: [
      // Vitest reads from the pattern which other fixtures this one needs.
      // biome-ignore lint/correctness/noEmptyPattern: none
      async ({}, use) => {
        failed = [];
        const database = await createTestDatabase(options);
        await use(database);
        await putAway(database, failed);
      },
      { scope: 'file' },
    ],
    failureWatch: [
      async ({ task }, use) => {
        await use(undefined);
        if (isFailed(task)) failed.push(task.name);
      },
      { auto: true },
    ],
  };
}

/** A test that is to fail, and does, has not failed; nor, yet, one that will be tried again. */
function isFailed({ result, fails, retry = 0 }: TestContext['task']): boolean {
  const tries = typeof retry === 'number' ? retry : (retry.count ?? 0);
  const isLast = (result?.retryCount ?? 0) >= tries;
  return result?.state === 'fail' && !fails && isLast;
}

async function putAway(database: TestDatabase, failed: readonly string[]): Promise<void> {
  if (failed.length === 0 || database.origin === 'embedded') return database.drop();
  await database.keep();
  const tests = failed.map((name) => `"${name}"`).join(', ');
  process.stderr.write(`${tests} failed; the database is kept: ${urlToShow(database)}\n`);
}

/** The password of a container of this tool's is no secret. */
function urlToShow({ url, origin }: TestDatabase): string {
  if (origin === 'container') return url;
  return url.replace(/^(postgresql:\/\/[^:@/]*):[^@/]*@/, '$1@');
}

/**
 * A global setup for Vitest: prepares what `databaseFixtures` and `createTestDatabase` need with the same
 * options, so that no test waits for it: a container where TEST_DATABASE_URL names no server, which the
 * tests find in that variable; the template, or the image of the embedded engine; ready clones. Says on
 * stderr which server it is. The container is stopped when the tests are over.
 */
export function globalSetup(options: TestDatabaseOptions = {}): () => Promise<() => Promise<void>> {
  return async () => {
    const { stop } = await prepareTestDatabases({
      ...options,
      onProgress: (event) => {
        options.onProgress?.(event);
        if (event.kind === 'test-server') {
          const { origin, target } = event;
          process.stderr.write(
            `test databases: ${origin === 'embedded' ? 'the embedded engine' : `${target} (${origin})`}\n`,
          );
        }
      },
    });
    return stop;
  };
}
