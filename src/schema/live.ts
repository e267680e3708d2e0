import { type Sql, withSession } from '../database/connection.ts';
import { catalogProblem, permissionProblem } from '../database/permission.ts';
import { requireServerVersion } from '../database/requirements.ts';
import { describeTarget, resolveTarget, type Target } from '../database/target.ts';
import type { OnProgress } from '../runtime/progress.ts';
import { readScriptSource } from './script/read.ts';
import { printScript } from './script/script.ts';
import type { LeftOut } from './script/source.ts';
import { readSnapshot } from './snapshot/read.ts';
import type { Rights, Snapshot } from './snapshot/snapshot.ts';

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
  const { target, found } = await readLive(options, readSnapshot);
  return { target, snapshot: found };
}

export interface ScriptResult {
  readonly target: string;
  /** SQL in one transaction: it makes an empty database have the schema. The same bytes for equal schemas. */
  readonly script: string;
  readonly objects: number;
  /** What the script does not make; a comment at its head names each. */
  readonly leftOut: readonly LeftOut[];
}

export interface ScriptOptions extends SnapshotOptions {
  readonly onProgress?: OnProgress | undefined;
}

/** Reads the same as `snapshot` and writes it as SQL. Throws as `snapshot` does. */
export async function script(options: ScriptOptions): Promise<ScriptResult> {
  const { target, found } = await readLive(options, readScriptSource);
  const { text, leftOut } = printScript(found);
  for (const each of leftOut) options.onProgress?.({ kind: 'left-out', ...each });
  return { target, script: text, objects: found.snapshot.objects.length, leftOut };
}

async function readLive<T>(
  options: SnapshotOptions,
  read: (sql: Sql, rights: Rights) => Promise<T>,
): Promise<{ readonly target: string; readonly found: T }> {
  const { owners = false, grants = false, signal } = options;
  const target = resolveTarget(options.target);
  const session = { signal, isReadOnlyFine: true, isCatalogOnly: true };
  return withSession(target, session, async ({ sql, server }) => {
    requireServerVersion({ server });
    try {
      return { target: describeTarget(target), found: await read(sql, { owners, grants }) };
    } catch (error) {
      throw permissionProblem(error, catalogProblem(server));
    }
  });
}
