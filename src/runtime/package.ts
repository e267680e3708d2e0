import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The root of the package: this file is in `src/runtime`, or part of a bundle in `dist`. */
export const packageRoot = findRoot(dirname(fileURLToPath(import.meta.url)));

function findRoot(folder: string): string {
  return existsSync(join(folder, 'package.json')) ? folder : findRoot(dirname(folder));
}

function packagePath(name: string): string {
  return join(packageRoot, name);
}

/** The folders of the packaged schema. */
export const packagedMigrations = packagePath('migrations');
export const packagedRollbacks = packagePath('rollbacks');
export const packagedTemplates = packagePath('templates');
/** The seeders, compiled from `seeds/`, and the assets for `--offline`. */
export const packagedSeeds = packagePath('dist/seeds');
export const packagedSnapshot = packagePath('seeds/production/snapshot.json');

/** The version in `package.json`. */
export function toolVersion(): string {
  const { version }: { version: string } = JSON.parse(
    readFileSync(packagePath('package.json'), 'utf8'),
  );
  return version;
}
