import type { Version } from '../ledger/version.ts';
import * as migrate from '../migrations/migrate.ts';
import { readScripts } from '../migrations/scripts.ts';
import { type MigrationPair, readMigrations, resolveFolders } from '../migrations/source.ts';
import { CryptosenseDbError, isError, type Problem } from '../runtime/errors.ts';
import type { OnProgress } from '../runtime/progress.ts';
import { withSnapshots } from './live.ts';
import { type AppliedPair, findLosses, type RowCheck } from './losses.ts';
import { type ScratchOptions, type ScratchRun, withScratch } from './scratch.ts';
import { versionsSince } from './since.ts';
import { compareSnapshots, type ObjectDifference } from './snapshot/difference.ts';
import type { Snapshot } from './snapshot/snapshot.ts';

export interface VerifyOptions extends ScratchOptions {
  /** The first pair that is verified; those before it are applied. Default: all. */
  readonly since?: Version | undefined;
  /** Also seed the schema with development data, and find the rows that each rollback loses. */
  readonly seed?: 'dev' | undefined;
  /** A folder with `dev/`. Default: the packaged seeders. */
  readonly seeds?: string | undefined;
}

/**
 * The first step that does not keep its word. A rollback brings back the schema from before the migration. Applied again,
 * the migration makes the same schema as the first time.
 */
export type BrokenStep = { readonly step: 'rollback' | 'second apply' } & (
  | { readonly differences: readonly ObjectDifference[]; readonly problems?: undefined }
  /** The server refused a statement. */
  | { readonly problems: readonly Problem[]; readonly differences?: undefined }
);

export interface VerifiedPair {
  readonly version: Version;
  readonly description: string;
}

interface SchemaCheck {
  /** Pairs that went up, down and up again with the same schema. */
  readonly verified: readonly VerifiedPair[];
  /** Pairs that cannot be undone, by what their rollback says. */
  readonly irreversible: readonly (VerifiedPair & { readonly reason: string })[];
  /** The first pair with such a step; null without one. What comes after it is not verified. */
  readonly broken: (VerifiedPair & BrokenStep) | null;
  /** All pairs, rolled back together and applied again. null: it was not tried, because of a pair above, or `since`. */
  readonly chain: { readonly broken: BrokenStep | null } | null;
}

export interface VerifyResult extends SchemaCheck {
  /** What the rollbacks lose of the development data. null: it was not asked for, or a schema is broken. */
  readonly rows: RowCheck | null;
}

/**
 * On a scratch database, applies each pair, rolls it back, and applies it again: after the rollback the schema has to be the
 * one from before, after the second apply that of the first. Then rolls back the whole chain and applies it again. With
 * `seed`, fills the tables and rolls back once more, pair by pair. Grants count, owners do not. Throws `unknown-version` for
 * `since`, and what `migrate.up` and `seed.dev` throw; `migration-failed` for a migration that fails the first time, and for a
 * rollback that fails with rows in the tables.
 */
export async function verify(options: VerifyOptions): Promise<VerifyResult> {
  const { since, seed, seeds, scratch, onProgress, signal } = options;
  if (seeds !== undefined && seed === undefined) {
    throw new CryptosenseDbError('bad-configuration', {
      message: 'a folder of seeders is given, but no development data is asked for',
      hint: 'ask for the development data with: --seed dev',
    });
  }
  const folders = resolveFolders(options);
  const pairs = await readPairs(readMigrations(folders), since);
  return withScratch({ scratch, onProgress }, async (target) => {
    const run = { target, ...folders, signal };
    const schemas = await withSnapshots({ target, grants: true, signal }, (read) =>
      verifySchemas(pairs, { ...run, read, onProgress }),
    );
    const isBroken = schemas.broken !== null || (schemas.chain?.broken ?? null) !== null;
    if (!seed || isBroken) return { ...schemas, rows: null };
    const newestFirst = pairs.filter(({ isWanted }) => isWanted).reverse();
    return { ...schemas, rows: await findLosses(newestFirst, { ...run, seeds, onProgress }) };
  });
}

interface ChainPair extends AppliedPair {
  /** false: it is older than `since`, and is only applied. */
  readonly isWanted: boolean;
}

async function readPairs(
  pairs: readonly MigrationPair[],
  since: Version | undefined,
): Promise<readonly ChainPair[]> {
  const isWanted = versionsSince(pairs, since);
  const scripts = await readScripts(pairs);
  return pairs.map(({ version, description }, index) => ({
    version,
    description,
    irreversible: scripts[index]?.down.irreversible,
    isWanted: isWanted(version),
  }));
}

async function verifySchemas(
  pairs: readonly ChainPair[],
  {
    read,
    onProgress,
    ...run
  }: ScratchRun & {
    readonly read: () => Promise<Snapshot>;
    readonly onProgress: OnProgress | undefined;
  },
): Promise<SchemaCheck> {
  const up = async (to: Version) => {
    await migrate.up({ ...run, to, environment: 'test' });
    return read();
  };
  const down = async (extent: { readonly steps: number } | { readonly all: true }) => {
    await migrate.down({ ...run, ...extent });
    return read();
  };
  const wanted = pairs.filter(({ isWanted }) => isWanted);
  const earlier = pairs.findLast(({ isWanted }) => !isWanted);
  const verified: VerifiedPair[] = [];
  const irreversible: SchemaCheck['irreversible'][number][] = [];
  const first = earlier ? await up(earlier.version) : await read();
  let before = first;
  for (const [index, pair] of wanted.entries()) {
    const { version, description, irreversible: reason } = pair;
    const place = { index: index + 1, total: wanted.length };
    onProgress?.({ kind: 'verifying-pair', pair: { version, description, ...place } });
    const applied = await up(version);
    if (reason !== undefined) irreversible.push({ version, description, reason });
    else {
      const broken = await brokenBy({
        states: { before, applied },
        rollBack: () => down({ steps: 1 }),
        applyAgain: () => up(version),
      });
      if (broken) {
        return {
          verified,
          irreversible,
          broken: { version, description, ...broken },
          chain: null,
        };
      }
      verified.push({ version, description });
    }
    before = applied;
  }
  const newest = pairs.at(-1)?.version;
  if (earlier || irreversible.length > 0 || newest === undefined) {
    return { verified, irreversible, broken: null, chain: null };
  }
  onProgress?.({ kind: 'verifying-chain' });
  const broken = await brokenBy({
    states: { before: first, applied: before },
    rollBack: () => down({ all: true }),
    applyAgain: () => up(newest),
  });
  return { verified, irreversible, broken: null, chain: { broken } };
}

async function brokenBy({
  states: { before, applied },
  rollBack,
  applyAgain,
}: {
  readonly states: { readonly before: Snapshot; readonly applied: Snapshot };
  readonly rollBack: () => Promise<Snapshot>;
  readonly applyAgain: () => Promise<Snapshot>;
}): Promise<BrokenStep | null> {
  const undone = await faultOf(rollBack, before);
  if (undone) return { step: 'rollback', ...undone };
  const again = await faultOf(applyAgain, applied);
  return again ? { step: 'second apply', ...again } : null;
}

async function faultOf(run: () => Promise<Snapshot>, expected: Snapshot) {
  try {
    const differences = compareSnapshots(expected, await run());
    return differences.length > 0 ? { differences } : null;
  } catch (error) {
    if (isError(error, 'migration-failed')) return { problems: error.problems };
    throw error;
  }
}
