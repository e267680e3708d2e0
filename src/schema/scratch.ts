import type { Target } from '../database/target.ts';
import type { Version } from '../ledger/version.ts';
import * as migrate from '../migrations/migrate.ts';
import { resolveFolders } from '../migrations/source.ts';
import type { OnProgress } from '../runtime/progress.ts';
import { withEmptyDatabase } from '../test-databases/empty.ts';
import { testServer } from '../test-databases/test-database.ts';

/** Where migrations are applied to see what schema they make. */
export interface ScratchOptions {
  /** The URL of a test server, or `embedded`. Default: TEST_DATABASE_URL, else a container. */
  readonly scratch?: string | undefined;
  /** Folders of migrations and rollbacks. Default: the packaged schema. */
  readonly migrations?: string | undefined;
  readonly rollbacks?: string | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What `migrate.up`, `migrate.down` and `seed.dev` take on a scratch database. */
export interface ScratchRun {
  readonly target: Target | string;
  readonly migrations: string;
  readonly rollbacks: string;
  readonly signal: AbortSignal | undefined;
}

/**
 * Calls `use` with an empty database, which is dropped afterwards, and in which no job runs. Throws
 * `no-test-server` and `not-permitted`.
 */
export async function withScratch<T>(
  { scratch, onProgress }: Pick<ScratchOptions, 'scratch' | 'onProgress'>,
  use: (target: Target | string) => Promise<T>,
): Promise<T> {
  if (scratch !== 'embedded') {
    return withEmptyDatabase(await testServer({ server: scratch, onProgress }), use);
  }
  const { openEmbeddedEngine } = await import('../database/embedded/engine.ts');
  const engine = await openEmbeddedEngine();
  try {
    return await use({ kind: 'embedded', folder: undefined, engine });
  } finally {
    await engine.close();
  }
}

/**
 * The same, with the migrations applied up to the version `to`, by default all. Throws what `withScratch` and `migrate.up`
 * throw.
 */
export async function withMigratedScratch<T>(
  {
    to,
    signal,
    onProgress,
    scratch,
    ...folders
  }: ScratchOptions & { readonly to?: Version | undefined },
  use: (target: Target | string) => Promise<T>,
): Promise<T> {
  return withScratch({ scratch, onProgress }, async (target) => {
    await migrate.up({ target, ...resolveFolders(folders), to, signal, environment: 'test' });
    return use(target);
  });
}
