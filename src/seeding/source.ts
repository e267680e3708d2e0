import { readdirSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { SeedEnvironment } from '../ledger/seed-runs.ts';
import { CryptosenseDbError, faultyFiles, hasCode, messageOf } from '../runtime/errors.ts';
import type { Fault, Finding } from '../runtime/findings.ts';
import { compareText } from '../runtime/order.ts';
import { packagedSeeds } from '../runtime/package.ts';
import type { DevContext, ProductionContext, Seeder } from './seeder.ts';

/** The context that seeders of each environment get. */
export interface ContextOf {
  readonly dev: DevContext;
  readonly production: ProductionContext;
}

/** A seeder with its name: `01_users` for the file `01_users.js`. */
export interface NamedSeeder<Context> extends Seeder<Context> {
  readonly name: string;
}

const seederName = /^(\d{2,}_[a-z0-9][a-z0-9_]*)\.(?:js|mjs|ts|mts)$/;
const isCode = /\.[cm]?[jt]s$/;
const isDeclaration = /\.d\.[cm]?ts$/;

/**
 * The seeders of `FOLDER/dev` or `FOLDER/production`, in order of their names. Skips files that are
 * not code and names that start with a dot. Throws `faulty-folder` with all faults.
 */
export async function readSeeders<E extends SeedEnvironment>(
  environment: E,
  folder: string = packagedSeeds,
): Promise<readonly NamedSeeder<ContextOf[E]>[]> {
  const path = resolve(folder, environment);
  const findings: Finding[] = [];
  const seeders: NamedSeeder<ContextOf[E]>[] = [];
  for (const file of listCode(path)) {
    const name = seederName.exec(file)?.[1];
    if (name === undefined) {
      findings.push({ folder: path, file, rule: 'bad-seeder-name' });
      continue;
    }
    if (seeders.some((seeder) => seeder.name === name)) {
      findings.push({ folder: path, file, rule: 'same-seeder', seeder: name });
      continue;
    }
    const seeder = await load(join(path, file));
    if ('rule' in seeder) findings.push({ folder: path, file, ...seeder });
    else seeders.push({ ...(seeder as Seeder<ContextOf[E]>), name });
  }
  if (findings.length === 0 && seeders.length === 0) {
    findings.push({ folder: dirname(path), file: basename(path), rule: 'no-seeders' });
  }
  if (findings.length > 0) throw faultyFiles('faulty-folder', findings);
  return seeders;
}

/**
 * The seeders that `only` names, with or without their number; all when `only` is empty. Keeps the
 * order of `seeders`. Throws `bad-configuration` for a name that no seeder has.
 */
export function chooseSeeders<S extends { readonly name: string }>(
  seeders: readonly S[],
  only: readonly string[],
): readonly S[] {
  const isNamed = (name: string, word: string) =>
    name === word || name.replace(/^\d+_/, '') === word;
  const unknown = only.filter((word) => !seeders.some(({ name }) => isNamed(name, word)));
  if (unknown.length > 0) {
    throw new CryptosenseDbError('bad-configuration', {
      message: `there is no seeder ${unknown.map((word) => `"${word}"`).join(', ')}`,
      evidence: seeders.map(({ name }) => name),
      hint: 'see: cryptosense-db seed --list',
    });
  }
  if (only.length === 0) return seeders;
  return seeders.filter(({ name }) => only.some((word) => isNamed(name, word)));
}

function listCode(path: string): readonly string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => !entry.isDirectory() && !entry.name.startsWith('.'))
      .map(({ name }) => name)
      .filter((name) => isCode.test(name) && !isDeclaration.test(name))
      .sort(compareText);
  } catch (error) {
    const place = { folder: dirname(path), file: basename(path) };
    throw faultyFiles('faulty-folder', [
      { ...place, rule: 'unreadable-folder', of: 'seeders', reason: messageOf(error) },
    ]);
  }
}

async function load(path: string): Promise<Seeder<never> | Fault> {
  try {
    // An import of a FIFO never ends.
    if (!statSync(path).isFile()) throw new Error('it is not a regular file');
    const { seeder }: { readonly seeder?: unknown } = await import(pathToFileURL(path).href);
    if (isSeeder(seeder)) return seeder;
    return { rule: 'not-a-seeder' };
  } catch (error) {
    const isTypeScript = hasCode(error, 'ERR_UNKNOWN_FILE_EXTENSION');
    return { rule: 'unloadable-seeder', reason: messageOf(error), isTypeScript };
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
