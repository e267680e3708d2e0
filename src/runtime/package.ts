import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The package's root. A bundle in `dist/` lies at another depth below it than this file. */
const root = findRoot(dirname(fileURLToPath(import.meta.url)));

function findRoot(folder: string): string {
  return existsSync(join(folder, 'package.json')) ? folder : findRoot(dirname(folder));
}

function packagePath(name: string): string {
  return join(root, name);
}

/** The schema that ships with the package. */
export const packagedMigrations = packagePath('migrations');
export const packagedRollbacks = packagePath('rollbacks');
export const packagedTemplates = packagePath('templates');
/** Its seeders, compiled from `seeds/`; and the assets that `--offline` knows. */
export const packagedSeeds = packagePath('dist/seeds');
export const packagedSnapshot = packagePath('seeds/production/snapshot.json');

/** The version in `package.json`. */
export function toolVersion(): string {
  const { version }: { version: string } = JSON.parse(
    readFileSync(packagePath('package.json'), 'utf8'),
  );
  return version;
}
