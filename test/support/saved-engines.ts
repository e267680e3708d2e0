import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { inject } from 'vitest';
import { openEmbeddedEngine } from '../../src/database/embedded/engine.ts';
import { lockFolder } from '../../src/database/embedded/folder-lock.ts';
import * as migrate from '../../src/migrations/migrate.ts';

/** What a saved database of the embedded engine holds: nothing, or the whole packaged schema. */
export type SavedState = 'empty' | 'migrated';

/** What makes each state, in a folder that holds the state before it. */
const makers: Readonly<Record<SavedState, { from?: SavedState; make: typeof makeEmpty }>> = {
  empty: { make: makeEmpty },
  migrated: {
    from: 'empty',
    make: async (folder) => {
      await migrate.up({ target: `embedded:${folder}` });
    },
  },
};

async function makeEmpty(folder: string): Promise<void> {
  const engine = await openEmbeddedEngine({ folder });
  await engine.close();
}

/**
 * Copies a database of the embedded engine into a folder of its own, which the caller removes. The
 * first caller in a test run makes the database, and all test files share it: to make one takes ten
 * times as long as to open a copy.
 */
export async function copySavedEngine(state: SavedState): Promise<string> {
  const saved = await ensureSaved(state);
  const root = mkdtempSync(join(tmpdir(), 'cryptosense-db-embedded-'));
  const folder = join(root, 'database');
  await copy(saved, folder);
  return folder;
}

async function ensureSaved(state: SavedState): Promise<string> {
  const place = join(inject('runFolder'), state);
  const saved = join(place, 'saved');
  if (existsSync(saved)) return saved;
  mkdirSync(place, { recursive: true });
  const release = await lockFolder(place, { timeoutMs: 120_000 });
  try {
    if (existsSync(saved)) return saved;
    const draft = join(place, 'draft');
    rmSync(draft, { recursive: true, force: true });
    const { from, make } = makers[state];
    if (from) await copy(await ensureSaved(from), draft);
    await make(draft);
    renameSync(draft, saved);
    return saved;
  } finally {
    release();
  }
}

/** Node 20's own `cp` takes five times as long for a thousand small files. */
async function copy(from: string, to: string): Promise<void> {
  await promisify(execFile)('cp', ['-R', from, to]);
}
