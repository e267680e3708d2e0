import { basename, dirname } from 'node:path';
import type { Target } from '../database/target.ts';
import * as migrate from '../migrations/migrate.ts';
import { faultyFiles } from '../runtime/errors.ts';
import type { OnProgress } from '../runtime/progress.ts';
import type { Recipe, Seeding } from './recipe.ts';

/**
 * Makes an empty database what the recipe says: migrated, marked as a test's, seeded where it says so.
 * Throws what `migrate.up` and `seed.dev` throw, and `faulty-folder` for seeders that this process has run
 * before as they were then.
 */
export async function makeContent(
  { folders, seeding }: Recipe,
  options: {
    readonly target: Target;
    readonly signal: AbortSignal | undefined;
    readonly onProgress: OnProgress | undefined;
  },
): Promise<void> {
  await migrate.up({ ...folders, ...options, environment: 'test' });
  if (!seeding) return;
  requireLoadable(seeding);
  const seed = await import('../seeding/seed.ts');
  const { seeds, now } = seeding;
  await seed.dev({ ...folders, ...options, seeds, now });
}

const loaded = new Map<string, string>();

/**
 * Throws `faulty-folder` for seeders that have changed since this process ran them: Node keeps modules as
 * they were when they were loaded, and the rows would not be those of the files.
 */
function requireLoadable({ seeds, checksum }: Seeding): void {
  const before = loaded.get(seeds) ?? checksum;
  loaded.set(seeds, before);
  if (before === checksum) return;
  throw faultyFiles('faulty-folder', [
    { folder: dirname(seeds), file: basename(seeds), rule: 'changed-seeders' },
  ]);
}
