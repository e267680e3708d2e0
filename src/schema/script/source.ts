import type { Snapshot } from '../snapshot/snapshot.ts';

/** A snapshot, with what a script needs besides. */
export interface ScriptSource {
  readonly snapshot: Snapshot;
  /** CREATE FUNCTION and CREATE PROCEDURE with their bodies, by the name in the snapshot. */
  readonly routines: ReadonlyMap<string, string>;
  readonly dependencies: readonly Dependency[];
  /** Indexes of partitions, each with the index of the partitioned table that it belongs to. */
  readonly attachments: readonly Attachment[];
  /** Objects of kinds that a snapshot does not have. */
  readonly others: readonly string[];
}

/** An object, or one part of it, can be made only when another object is there. */
export interface Dependency {
  /** As `keyOf` writes it. */
  readonly object: string;
  /** Such as `index coins_symbol`, or `default name` for the default of a column; null for the object itself. */
  readonly part: string | null;
  readonly on: string;
}

export interface Attachment {
  readonly index: string;
  readonly to: string;
}

/** What a script does not make of a database. */
export interface LeftOut {
  readonly object: string;
  readonly reason: string;
}

export function keyOf({ kind, name }: { readonly kind: string; readonly name: string }): string {
  return `${kind} ${name}`;
}
