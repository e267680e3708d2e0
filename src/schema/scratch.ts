import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Version } from '../ledger/version.ts';
import * as migrate from '../migrations/migrate.ts';
import { resolveFolders } from '../migrations/source.ts';
import type { OnProgress } from '../runtime/progress.ts';
import { createTestDatabase } from '../test-databases/test-database.ts';

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

/**
 * Applies the migrations to a database that is dropped afterwards, and calls `use` with its URL. `to` is the last version,
 * by default the newest. Throws what `createTestDatabase` and `migrate.up` throw.
 */
export async function withMigratedScratch<T>(
  options: ScratchOptions & { readonly to?: Version | undefined },
  use: (target: string) => Promise<T>,
): Promise<T> {
  if (options.scratch === 'embedded') return withEmbedded(options, use);
  const { migrations, rollbacks, to, scratch: server, onProgress, signal } = options;
  const database = await createTestDatabase({
    migrations,
    rollbacks,
    to,
    server,
    onProgress,
    signal,
  });
  try {
    return await use(database.url);
  } finally {
    await database.drop();
  }
}

async function withEmbedded<T>(
  { to, onProgress, signal, ...options }: Parameters<typeof withMigratedScratch>[0],
  use: (target: string) => Promise<T>,
): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'cryptosense-db-scratch-'));
  const target = `embedded:${folder}`;
  try {
    await migrate.up({
      target,
      ...resolveFolders(options),
      to,
      onProgress,
      signal,
      environment: 'test',
    });
    return await use(target);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
