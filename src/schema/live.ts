import { type Sql, withSession } from '../database/connection.ts';
import { catalogProblem, permissionProblem } from '../database/permission.ts';
import { requireServerVersion } from '../database/requirements.ts';
import { describeTarget, resolveTarget, type Target } from '../database/target.ts';
import type { GrammarOptions } from '../migrations/scripts.ts';
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

export interface SnapshotOptions extends RightsOptions, GrammarOptions {
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
  return withReader({ ...options, from: readSnapshot }, async (read, target) => ({
    target: describeTarget(target),
    snapshot: await read(),
  }));
}

export interface ScriptOptions extends SnapshotOptions {
  readonly onProgress?: OnProgress | undefined;
}

export interface ScriptResult {
  readonly target: string;
  /** SQL in one transaction: it makes an empty database have the schema. The same bytes for equal schemas. */
  readonly script: string;
  readonly objects: number;
  /** What the script does not make; a comment at its head names each. */
  readonly leftOut: readonly LeftOut[];
}

/** Reads the same as `snapshot` and writes it as SQL. Throws as `snapshot` does. */
export async function script(options: ScriptOptions): Promise<ScriptResult> {
  return withReader({ ...options, from: readScriptSource }, async (read, target) => {
    const source = await read();
    const { text, leftOut } = printScript(source);
    for (const each of leftOut) options.onProgress?.({ kind: 'left-out', ...each });
    return {
      target: describeTarget(target),
      script: text,
      objects: source.snapshot.objects.length,
      leftOut,
    };
  });
}

/**
 * Calls `use` with a function that reads the schema each time it is called. A server reads all in one session: to open
 * one takes longer than to read. The embedded engine has one session, which other work needs in between.
 */
export async function withSnapshots<T>(
  options: SnapshotOptions,
  use: (read: () => Promise<Snapshot>) => Promise<T>,
): Promise<T> {
  const target = resolveTarget(options.target);
  return target.kind === 'server'
    ? withReader({ ...options, target, from: readSnapshot }, use)
    : use(() => withReader({ ...options, target, from: readSnapshot }, (read) => read()));
}

async function withReader<Found, T>(
  options: SnapshotOptions & {
    readonly from: (sql: Sql, options: Rights & GrammarOptions) => Promise<Found>;
  },
  use: (read: () => Promise<Found>, target: Target) => Promise<T>,
): Promise<T> {
  const { from, owners = false, grants = false, signal, beforeGrammar } = options;
  const target = resolveTarget(options.target);
  const session = { signal, isReadOnlyFine: true, isCatalogOnly: true };
  return withSession(target, session, async ({ sql, server }) => {
    requireServerVersion({ server });
    const read = async () => {
      try {
        return await from(sql, { owners, grants, beforeGrammar });
      } catch (error) {
        throw permissionProblem(error, catalogProblem(server));
      }
    };
    return use(read, target);
  });
}
