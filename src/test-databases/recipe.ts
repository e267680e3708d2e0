import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join, sep } from 'node:path';
import type { Sql } from '../database/connection.ts';
import { readMigrations, resolveFolders, type SourceFolders } from '../migrations/source.ts';
import { CryptosenseDbError, faultyFiles } from '../runtime/errors.ts';
import { compareText } from '../runtime/order.ts';
import { packagedSeeds, toolVersion } from '../runtime/package.ts';
import type { TemplateKey } from './mark.ts';

/** What a test database holds. */
export interface ContentOptions {
  /** Folders of migrations and rollbacks; the packaged schema when left out. */
  readonly migrations?: string | undefined;
  readonly rollbacks?: string | undefined;
  /** `dev`: the development data. Default: none. */
  readonly seed?: 'dev' | undefined;
  /** Folder with `dev/`; the packaged seeders when left out. */
  readonly seeds?: string | undefined;
  /** The moment that the data is of. Default: a moment of the current day in UTC. */
  readonly now?: Date | undefined;
}

export interface Seeding {
  readonly seeds: string;
  readonly now: Date;
  /** Of every file that a seeder can be of. */
  readonly checksum: string;
}

/** How a template is made, and the part of its key that the files alone decide. */
export interface Recipe {
  readonly folders: SourceFolders;
  readonly seeding: Seeding | undefined;
  readonly fingerprint: string;
}

/** To be raised when templates are made in another way. */
const format = 2;

/** Reads the files. Throws `faulty-folder`, `bad-configuration`. */
export function readRecipe(options: ContentOptions): Recipe {
  const { seed, now } = options;
  if (seed !== undefined && seed !== 'dev') {
    throw new CryptosenseDbError('bad-configuration', {
      message: `seed is ${JSON.stringify(seed)}; it can be 'dev'`,
    });
  }
  if (seed === undefined && (now ?? options.seeds) !== undefined) {
    throw new CryptosenseDbError('bad-configuration', {
      message: `${now === undefined ? 'a folder of seeders' : 'a moment'} is given, and nothing is to be seeded`,
      hint: 'ask for the development data with: --seed dev',
    });
  }
  const folders = resolveFolders(options);
  const schema = readMigrations(folders).map(({ version, description, up, down }) => [
    version,
    description,
    up.checksum,
    down.checksum,
  ]);
  const seeds = seedsOf(options);
  const seeding = seeds === undefined ? undefined : seedingOf(seeds, now);
  const data = seeding && [dayOf(options), seeding.checksum];
  return { folders, seeding, fingerprint: JSON.stringify([format, toolVersion(), schema, data]) };
}

/**
 * What cannot stay the same when what `readRecipe` reads has changed, for callers who ask again and
 * again. undefined where something cannot be read, which `readRecipe` has words for.
 */
export function stampOf(options: ContentOptions): string | undefined {
  const seeds = seedsOf(options);
  try {
    const { migrations, rollbacks } = resolveFolders(options);
    const files = [migrations, rollbacks].flatMap((folder) =>
      readdirSync(folder).map((name) => `${folder}/${name}`),
    );
    if (seeds !== undefined) files.push(...filesUnder(seeds));
    let stamp = seeds === undefined ? '' : dayOf(options);
    for (const file of files) {
      const { ino, size, ctimeMs } = statSync(file);
      stamp += `${file} ${ino} ${size} ${ctimeMs}\n`;
    }
    return stamp;
  } catch {
    return undefined;
  }
}

function seedingOf(seeds: string, now = new Date()): Seeding {
  const files = filesUnder(seeds).map((path) => [
    path.slice(seeds.length),
    sha256(readFileSync(path)),
  ]);
  return { seeds, now, checksum: sha256(JSON.stringify(files)) };
}

function seedsOf({ seed, seeds = packagedSeeds }: ContentOptions): string | undefined {
  return seed && seeds;
}

/** Data of an earlier day is not what the development data shows; of an earlier hour, it is. */
function dayOf({ now }: ContentOptions): string {
  return now ? now.toISOString() : new Date().toISOString().slice(0, 10);
}

/** Every file of the folder and those below it, links to files too, but the production seeders' own. */
function filesUnder(folder: string): readonly string[] {
  try {
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() || entry.isSymbolicLink())
      .map((entry) => join(entry.parentPath, entry.name))
      .filter((path) => !path.startsWith(join(folder, 'production') + sep))
      .filter((path) => statSync(path).isFile())
      .sort(compareText);
  } catch (error) {
    const place = { folder: dirname(folder), file: basename(folder) };
    throw faultyFiles('faulty-folder', [
      { ...place, rule: 'unreadable-folder', of: 'seeders', reason: String(error) },
    ]);
  }
}

/**
 * The key of the template on that server: besides the files, what the server would make of them. Who
 * makes it owns all that is in it.
 */
export async function keyOn(sql: Sql, { fingerprint }: Recipe): Promise<TemplateKey> {
  const [{ facts }] = await sql<[{ facts: string }]>`
    select json_build_array(
      current_user,
      current_setting('server_version'),
      (select array_agg(name || ' ' || default_version order by name collate "C")
       from pg_available_extensions)
    )::text as facts`;
  return sha256(`${fingerprint}\n${facts}`).slice(0, 32);
}

function sha256(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}
