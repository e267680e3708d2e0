import {
  createTestDatabase,
  prepareTestDatabases,
  type TestDatabase,
  type TestDatabaseOptions,
} from './test-database.ts';

export interface FixtureOptions extends TestDatabaseOptions {
  /** Whether each test or each file has its own database. Default: `test`. */
  readonly per?: 'test' | 'file' | undefined;
}

/** What tests find in their context. */
export interface WithTestDatabase {
  readonly database: TestDatabase;
}

/** The part of a Vitest test that decides whether its database is kept. */
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

/** The form in which Vitest takes fixtures. It is written out so that this package does not need Vitest. */
export interface DatabaseFixtures {
  readonly database:
    | ((context: TestContext, use: Use<TestDatabase>) => Promise<void>)
    | [
        fixture: (context: object, use: Use<TestDatabase>) => Promise<void>,
        options: { readonly scope: 'file' },
      ];
  /** Records which tests of a file failed. */
  readonly failureWatch?: [
    fixture: (context: TestContext, use: Use<undefined>) => Promise<void>,
    options: { readonly auto: true },
  ];
}

/**
 * Fixtures for Vitest's `test.extend`. Each test that asks for `database`, or each file with such a test, has its own
 * database, which is dropped afterwards. The database of a failed test is kept, and its URL is printed on stderr,
 * without a password that TEST_DATABASE_URL contains.
 *
 * @example
 * const test = base.extend<WithTestDatabase>(databaseFixtures({ seed: 'dev' }));
 * test('an account is opened', async ({ database: { db } }) => { … });
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

/** A test that is expected to fail (`test.fails`) has not failed, and a test that will be retried has not failed yet. */
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

/** Without the password, unless the server is a container of this tool, whose password is no secret. */
function urlToShow({ url, origin }: TestDatabase): string {
  if (origin === 'container') return url;
  return url.replace(/^(postgresql:\/\/[^:@/]*):[^@/]*@/, '$1@');
}

/**
 * A global setup for Vitest. With the same options as `databaseFixtures`, no test waits for the template: the setup
 * starts a container where TEST_DATABASE_URL names no server, and sets the variable; it makes the template, or the
 * image of the embedded engine, and the ready clones. It prints the server on stderr, and stops the container after
 * the tests.
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
