import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { SeedEnvironment } from '../ledger/seed-runs.ts';
import { CryptosenseDbError, type Problem } from '../runtime/errors.ts';
import { compareText } from '../runtime/order.ts';
import { packagedSeeds } from '../runtime/package.ts';
import type { DevContext, ProductionContext, Seeder } from './seeder.ts';

/** What a seeder of each environment is given. */
export interface ContextOf {
  readonly dev: DevContext;
  readonly production: ProductionContext;
}

/** A seeder with the name of its file, `01_users` of `01_users.js`. */
export interface NamedSeeder<Context> extends Seeder<Context> {
  readonly name: string;
}

const seederName = /^(\d{2,}_[a-z0-9][a-z0-9_]*)\.(?:js|mjs|ts|mts)$/;
const isCode = /\.[cm]?[jt]s$/;
const isDeclaration = /\.d\.[cm]?ts$/;

/**
 * The seeders of `FOLDER/dev` or `FOLDER/production`, in order of their names. Files that are not
 * code, and names that start with a dot, are passed over.
 * Throws `faulty-folder` with every fault at once.
 */
export async function readSeeders<E extends SeedEnvironment>(
  environment: E,
  folder: string = packagedSeeds,
): Promise<readonly NamedSeeder<ContextOf[E]>[]> {
  const path = resolve(folder, environment);
  const problems: Problem[] = [];
  const seeders: NamedSeeder<ContextOf[E]>[] = [];
  for (const file of listCode(path)) {
    const name = seederName.exec(file)?.[1];
    if (name === undefined) {
      problems.push({
        message: `${join(path, file)} is not named as a seeder`,
        hint: 'a number, an underscore and words: 01_users.js',
      });
      continue;
    }
    if (seeders.some((seeder) => seeder.name === name)) {
      problems.push({ message: `${join(path, file)} is a second seeder of the name ${name}` });
      continue;
    }
    const seeder = await load(join(path, file));
    if ('message' in seeder) problems.push(seeder);
    else seeders.push({ ...(seeder as Seeder<ContextOf[E]>), name });
  }
  if (problems.length === 0 && seeders.length === 0) {
    problems.push({ message: `${path} holds no seeders`, hint: 'such as 01_users.js' });
  }
  if (problems.length > 0) throw new CryptosenseDbError('faulty-folder', problems);
  return seeders;
}

/**
 * Those that are named, by their whole name or without its number; all when none is. In order of
 * their names, whatever the order in which they are named. Throws `bad-configuration`.
 */
export function chooseSeeders<S extends { readonly name: string }>(
  seeders: readonly S[],
  only: readonly string[],
): readonly S[] {
  const isMeant = (name: string, word: string) =>
    name === word || name.replace(/^\d+_/, '') === word;
  const unknown = only.filter((word) => !seeders.some(({ name }) => isMeant(name, word)));
  if (unknown.length > 0) {
    throw new CryptosenseDbError('bad-configuration', {
      message: `there is no seeder ${unknown.map((word) => `"${word}"`).join(', ')}`,
      evidence: seeders.map(({ name }) => name),
      hint: 'see: cryptosense-db seed --list',
    });
  }
  if (only.length === 0) return seeders;
  return seeders.filter(({ name }) => only.some((word) => isMeant(name, word)));
}

function listCode(path: string): readonly string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => !entry.isDirectory() && !entry.name.startsWith('.'))
      .map(({ name }) => name)
      .filter((name) => isCode.test(name) && !isDeclaration.test(name))
      .sort(compareText);
  } catch (error) {
    throw new CryptosenseDbError(
      'faulty-folder',
      { message: `${path} cannot be read`, evidence: [String(error)] },
      { cause: error },
    );
  }
}

async function load(path: string): Promise<Seeder<never> | Problem> {
  try {
    const { seeder }: { readonly seeder?: unknown } = await import(pathToFileURL(path).href);
    if (isSeeder(seeder)) return seeder;
    return {
      message: `${path} exports no seeder`,
      hint: "export const seeder = { description: '…', run: async (context) => { … } }",
    };
  } catch (error) {
    const isUnreadable =
      error instanceof Error && 'code' in error && error.code === 'ERR_UNKNOWN_FILE_EXTENSION';
    return {
      message: `${path} cannot be loaded`,
      evidence: [error instanceof Error ? error.message : String(error)],
      ...(isUnreadable && {
        hint: 'this Node does not run TypeScript: compile the seeders, or use Node 22.18 or later',
      }),
    };
  }
}

function isSeeder(value: unknown): value is Seeder<never> {
  if (typeof value !== 'object' || value === null) return false;
  const { description, run, afterwards }: Partial<Record<keyof Seeder<never>, unknown>> = value;
  return (
    typeof description === 'string' &&
    description !== '' &&
    typeof run === 'function' &&
    (afterwards === undefined || typeof afterwards === 'function')
  );
}
