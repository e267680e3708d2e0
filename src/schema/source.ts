import type { Target } from '../database/target.ts';
import { snapshot } from './live.ts';
import { readSnapshotFile } from './snapshot/file.ts';
import type { Snapshot } from './snapshot/snapshot.ts';

/** Where a schema is read from: a database, or a file of `snapshot`. */
export type SourceOptions = {
  readonly signal?: AbortSignal | undefined;
} & (
  | { readonly target: Target | string; readonly from?: undefined }
  | { readonly from: string; readonly target?: undefined }
);

/** The schema, and the name of what it was read from. Throws what `snapshot` throws, or `file-problem`. */
export async function readSource({
  target,
  from,
  signal,
}: SourceOptions): Promise<{ readonly source: string; readonly snapshot: Snapshot }> {
  if (from !== undefined) return { source: from, snapshot: readSnapshotFile(from) };
  const result = await snapshot({ target, signal });
  return { source: result.target, snapshot: result.snapshot };
}
