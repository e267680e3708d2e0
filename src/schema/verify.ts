import { compareVersions, type Version } from '../ledger/version.ts';
import * as migrate from '../migrations/migrate.ts';
import { readScripts } from '../migrations/scripts.ts';
import { type MigrationPair, readMigrations, resolveFolders } from '../migrations/source.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import { snapshot } from './live.ts';
import { type ScratchOptions, withScratch } from './scratch.ts';
import { compareSnapshots, type ObjectDifference } from './snapshot/difference.ts';
import type { Snapshot } from './snapshot/snapshot.ts';

export interface VerifyOptions extends ScratchOptions {
  /** The first pair that is verified; those before it are applied. Default: all. */
  readonly since?: Version | undefined;
}

/** The first step after which the schema is not the expected one. */
export type BrokenStep =
  /** The rollback does not bring back the schema from before the migration. */
  | { readonly after: 'rollback'; readonly differences: readonly ObjectDifference[] }
  /** Applied again, the migration makes another schema than the first time. */
  | { readonly after: 'second apply'; readonly differences: readonly ObjectDifference[] };

export interface VerifiedPair {
  readonly version: Version;
  readonly description: string;
}

export interface VerifyResult {
  /** Pairs that went up, down and up again with the same schema. */
  readonly verified: readonly VerifiedPair[];
  /** Pairs that cannot be undone, by what their rollback says. */
  readonly irreversible: readonly (VerifiedPair & { readonly reason: string })[];
  /** The first pair with such a step; null without one. What comes after it is not verified. */
  readonly broken: (VerifiedPair & BrokenStep) | null;
  /** All pairs, rolled back together and applied again. null: it was not tried, because of a pair above, or `since`. */
  readonly chain: { readonly broken: BrokenStep | null } | null;
}

/**
 * On a scratch database, applies each pair, rolls it back, and applies it again: after the rollback the schema has to be the
 * one from before, after the second apply that of the first. Then rolls back the whole chain and applies it again. Grants
 * count, owners do not. Throws `unknown-version` for `since`, and what `migrate.up` and `migrate.down` throw.
 */
export async function verify(options: VerifyOptions): Promise<VerifyResult> {
  const { since, scratch, onProgress, signal } = options;
  const folders = resolveFolders(options);
  const pairs = readMigrations(folders);
  const isWanted = ({ version }: MigrationPair) =>
    since === undefined || compareVersions(version, since) >= 0;
  const earlier = pairs.filter((pair) => !isWanted(pair)).at(-1);
  if (since !== undefined && !pairs.some(({ version }) => version === since)) {
    throw new CryptosenseDbError(
      'unknown-version',
      { message: `there is no migration ${since}` },
      { details: { version: since } },
    );
  }
  const scripts = await readScripts(pairs);
  const reasons = new Map(
    pairs.map(({ version }, index) => [version, scripts[index]?.down.irreversible]),
  );
  return withScratch({ scratch, onProgress }, async (target) => {
    const run = { target, ...folders, signal };
    const read = async () => (await snapshot({ target, grants: true, signal })).snapshot;
    const up = async (to: Version) => {
      await migrate.up({ ...run, to, environment: 'test' });
      return read();
    };
    const down = async (extent: { readonly steps: number } | { readonly all: true }) => {
      await migrate.down({ ...run, ...extent });
      return read();
    };
    const verified: VerifiedPair[] = [];
    const irreversible: VerifyResult['irreversible'][number][] = [];
    const first = earlier ? await up(earlier.version) : await read();
    let before = first;
    for (const { version, description } of pairs.filter(isWanted)) {
      const applied = await up(version);
      const reason = reasons.get(version);
      if (reason !== undefined) irreversible.push({ version, description, reason });
      else {
        const broken = await brokenBy({
          states: { before, applied },
          rollBack: () => down({ steps: 1 }),
          applyAgain: () => up(version),
        });
        const result = { verified, irreversible, chain: null };
        if (broken) return { ...result, broken: { version, description, ...broken } };
        verified.push({ version, description });
      }
      before = applied;
    }
    const isWhole = since === undefined && irreversible.length === 0;
    const newest = pairs.at(-1)?.version;
    if (!isWhole || newest === undefined)
      return { verified, irreversible, broken: null, chain: null };
    const broken = await brokenBy({
      states: { before: first, applied: before },
      rollBack: () => down({ all: true }),
      applyAgain: () => up(newest),
    });
    return { verified, irreversible, broken: null, chain: { broken } };
  });
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
  const afterRollback = compareSnapshots(before, await rollBack());
  if (afterRollback.length > 0) return { after: 'rollback', differences: afterRollback };
  const again = compareSnapshots(applied, await applyAgain());
  return again.length > 0 ? { after: 'second apply', differences: again } : null;
}
