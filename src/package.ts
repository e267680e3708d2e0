import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Both `src/` and `dist/` lie one folder below the package's root. */
function packagePath(name: string): string {
  return fileURLToPath(new URL(`../${name}`, import.meta.url));
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
