import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';

export interface Folders {
  readonly migrations: string;
  readonly rollbacks: string;
}

/** The folders of `test/fixtures/NAME`. */
export function fixture(name: string): Folders {
  const root = fileURLToPath(new URL(`../fixtures/${name}/`, import.meta.url));
  return { migrations: join(root, 'migrations'), rollbacks: join(root, 'rollbacks') };
}

/** A folder of the test's own, gone when it ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'cryptosense-db-test-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** SQL of a migration and of its rollback, by file name without `.sql`. */
export type Pairs = Readonly<Record<string, readonly [up: string, down: string]>>;

/** Writes pairs into folders of the test's own, for what only the test can know. */
export function writePairs(pairs: Pairs, root = temporaryFolder()): Folders {
  const folders = { migrations: join(root, 'migrations'), rollbacks: join(root, 'rollbacks') };
  mkdirSync(folders.migrations, { recursive: true });
  mkdirSync(folders.rollbacks, { recursive: true });
  for (const [name, [up, down]] of Object.entries(pairs)) {
    writeFileSync(join(folders.migrations, `${name}.sql`), up);
    writeFileSync(join(folders.rollbacks, `${name}_rollback.sql`), down);
  }
  return folders;
}

/** `--migrations … --rollbacks …` for the command line. */
export function folderFlags({ migrations, rollbacks }: Folders): readonly string[] {
  return ['--migrations', migrations, '--rollbacks', rollbacks];
}
