import type { Target } from '../../database/target.ts';
import { inspect } from '../../inspect/inspect.ts';

/** The tables of a live database. */
export interface LiveSizes {
  readonly target: string;
  /** By the name as people write it, without `public`: bytes of its rows with all chunks, and the estimated rows. */
  readonly tables: ReadonlyMap<string, TableSize>;
  /** What the role or the server hides. */
  readonly unseen: readonly string[];
}

export interface TableSize {
  readonly bytes: number;
  /** undefined before the first ANALYZE. */
  readonly rows: number | undefined;
}

/** Looks into the catalog only; works on a standby. Throws what `inspect` throws. */
export async function readSizes(
  target: Target | string,
  { signal }: { readonly signal?: AbortSignal | undefined },
): Promise<LiveSizes> {
  const result = await inspect({ target, questions: ['sizes'], signal });
  const answers = result.answers.flatMap(({ rows }) => rows);
  return {
    target: result.target,
    tables: new Map(
      answers.map(({ table, tableBytes, toastBytes, rows }) => [
        String(table),
        {
          bytes: Number(tableBytes) + Number(toastBytes),
          rows: rows === null || rows === undefined ? undefined : Number(rows),
        },
      ]),
    ),
    unseen: result.answers.flatMap(({ unseen }) => unseen),
  };
}
