import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { onTestFinished } from 'vitest';
import { type Folders, temporaryFolder, writePairs } from './fixtures.ts';
import {
  createMigratedDatabase,
  type MigratedOptions,
  type TimescaleDatabase,
} from './schema-database.ts';

/** A database with the whole packaged schema, of the test's own. */
export async function migratedDatabase(options: MigratedOptions = {}): Promise<TimescaleDatabase> {
  const database = await createMigratedDatabase(options);
  onTestFinished(database.drop);
  return database;
}

/** Seeders by environment and file name without `.mjs`; each text is the body of `run`. */
export type SeederTexts = Readonly<
  Partial<Record<'dev' | 'production', Readonly<Record<string, string>>>>
>;

/** Seeders in a folder of their own find no packages. */
const kysely = new URL('../../node_modules/kysely/dist/esm/index.js', import.meta.url).href;

/** Writes seeders into a folder of the test's own: what `--seeds` takes. */
export function writeSeeders(texts: SeederTexts): string {
  const root = temporaryFolder();
  for (const [environment, seeders] of Object.entries(texts)) {
    mkdirSync(join(root, environment));
    for (const [name, body] of Object.entries(seeders)) {
      writeFileSync(
        join(root, environment, `${name}.mjs`),
        `import { sql } from '${kysely}';
        export const seeder = {
          description: 'of a test',
          run: async (context) => { const { db, load, merge, note, now, seed, scale } = context; ${body} },
        };\n`,
      );
    }
  }
  return root;
}

/** A schema that needs no TimescaleDB: one table to seed. */
export function coinsSchema(): Folders {
  return writePairs({
    '20260101_000000_create_coins': [
      `create table coins (
        id uuid primary key,
        name text not null unique,
        amount numeric(8, 2) not null check (amount > 0),
        made_at timestamptz
      );`,
      'drop table coins;',
    ],
  });
}
