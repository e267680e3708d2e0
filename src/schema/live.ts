import { withSession } from '../database/connection.ts';
import { catalogProblem, permissionProblem } from '../database/permission.ts';
import { requireServerVersion } from '../database/requirements.ts';
import { describeTarget, resolveTarget, type Target } from '../database/target.ts';
import { readSnapshot } from './snapshot/read.ts';
import type { Snapshot } from './snapshot/snapshot.ts';

/** What a snapshot has besides the schema itself. Default: neither. */
export interface RightsOptions {
  readonly owners?: boolean | undefined;
  /** What is granted to others than the owner. */
  readonly grants?: boolean | undefined;
}

export interface SnapshotOptions extends RightsOptions {
  readonly target: Target | string;
  readonly signal?: AbortSignal | undefined;
}

export interface SnapshotResult {
  readonly target: string;
  readonly snapshot: Snapshot;
}

/**
 * Reads the schema of a database as data, in one read-only transaction; it works on a standby. The ledger, chunks, what
 * belongs to extensions, and rows are not part of it. Throws `not-permitted` and what a connection can throw.
 */
export async function snapshot(options: SnapshotOptions): Promise<SnapshotResult> {
  const { owners = false, grants = false, signal } = options;
  const target = resolveTarget(options.target);
  const session = { signal, isReadOnlyFine: true, isCatalogOnly: true };
  return withSession(target, session, async ({ sql, server }) => {
    requireServerVersion({ server });
    try {
      return {
        target: describeTarget(target),
        snapshot: await readSnapshot(sql, { owners, grants }),
      };
    } catch (error) {
      throw permissionProblem(error, catalogProblem(server));
    }
  });
}
