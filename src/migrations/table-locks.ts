/** The modes of a lock on a table, from the weakest (PostgreSQL documentation, "Table-Level Locks"). */
export const lockModes = [
  'AccessShareLock',
  'RowShareLock',
  'RowExclusiveLock',
  'ShareUpdateExclusiveLock',
  'ShareLock',
  'ShareRowExclusiveLock',
  'ExclusiveLock',
  'AccessExclusiveLock',
] as const;
export type LockMode = (typeof lockModes)[number];

/**
 * What of an application waits while the lock is held: reads and writes of the table, writes, writes of rows that the
 * step has changed or locked, or nothing. Under each of them DDL and VACUUM may wait.
 */
export type Waiting = 'reads and writes' | 'writes' | 'writes of locked rows' | 'nothing';

/** SELECT waits behind ACCESS EXCLUSIVE only; INSERT, UPDATE and DELETE wait behind SHARE and all that are stronger. */
const waiting: Readonly<Record<LockMode, Waiting>> = {
  AccessShareLock: 'nothing',
  RowShareLock: 'writes of locked rows',
  RowExclusiveLock: 'writes of locked rows',
  ShareUpdateExclusiveLock: 'nothing',
  ShareLock: 'writes',
  ShareRowExclusiveLock: 'writes',
  ExclusiveLock: 'writes',
  AccessExclusiveLock: 'reads and writes',
};

export function strongerOf(one: LockMode, other: LockMode): LockMode {
  return lockModes.indexOf(one) >= lockModes.indexOf(other) ? one : other;
}

/** A table, view or materialized view that was there before the step, or a part of one. */
export interface Relation {
  /** Its object id. */
  readonly id: string;
  /** Of the table that people know: for a chunk its hypertable, for a partition its root. */
  readonly schema: string;
  readonly table: string;
  /** `inner`: what TimescaleDB keeps for a hypertable besides its chunks, such as their compressed form. */
  readonly part: 'self' | 'chunk' | 'partition' | 'inner';
  /** The number of the file that holds its rows: another one after a rewrite. 0 where it has none. */
  readonly file: string;
  /** By the statistics; undefined before the first ANALYZE. */
  readonly estimatedRows: number | undefined;
}

/** A table with the parts of it that are concerned. */
export interface TableParts {
  readonly schema: string;
  readonly table: string;
  readonly chunks: number;
  readonly partitions: number;
}

/** The strongest lock that a step takes on a table or on parts of it. */
export interface TableLock extends TableParts {
  readonly mode: LockMode;
  readonly waits: Waiting;
}

/** A table whose rows a step has written into new files. */
export interface RewrittenTable extends TableParts {
  readonly estimatedRows: number | undefined;
  /** With indexes, after the step. */
  readonly bytes: number;
}

/** One lock a table, the strongest first. Of a relation that is not in `before`, such as a new one, there is none. */
export function locksByTable(
  before: readonly Relation[],
  held: ReadonlyMap<string, LockMode>,
): readonly TableLock[] {
  const locks = groupByTable(before.filter(({ id }) => held.has(id))).map(({ parts, ...table }) => {
    const modes = parts.flatMap(({ id }) => held.get(id) ?? []);
    const mode = modes.reduce(strongerOf);
    return { ...table, mode, waits: waiting[mode] };
  });
  return locks.sort((a, b) => lockModes.indexOf(b.mode) - lockModes.indexOf(a.mode));
}

/** The relations of `before` that have other files in `after`. */
export function findRewritten(
  before: readonly Relation[],
  after: readonly Relation[],
): readonly Relation[] {
  const files = new Map(after.map(({ id, file }) => [id, file]));
  return before.filter(({ id, file }) => (files.get(id) ?? file) !== file);
}

/** `bytes` has the size of each relation by its id. */
export function rewrittenByTable(
  rewritten: readonly Relation[],
  bytes: ReadonlyMap<string, number>,
): readonly RewrittenTable[] {
  return groupByTable(rewritten).map(({ parts, ...table }) => ({
    ...table,
    estimatedRows: sumOfKnown(parts.map(({ estimatedRows }) => estimatedRows)),
    bytes: parts.reduce((sum, { id }) => sum + (bytes.get(id) ?? 0), 0),
  }));
}

function sumOfKnown(counts: readonly (number | undefined)[]): number | undefined {
  const known = counts.filter((count) => count !== undefined);
  return known.length === 0 ? undefined : known.reduce((sum, count) => sum + count, 0);
}

/** In the order of the first relations. */
function groupByTable(
  relations: readonly Relation[],
): readonly (TableParts & { readonly parts: readonly Relation[] })[] {
  const groups = new Map<string, Relation[]>();
  for (const relation of relations) {
    const key = JSON.stringify([relation.schema, relation.table]);
    const group = groups.get(key);
    if (group) group.push(relation);
    else groups.set(key, [relation]);
  }
  return [...groups.values()].flatMap((parts) => {
    const [first] = parts;
    if (!first) return [];
    const count = (part: Relation['part']) => parts.filter((each) => each.part === part).length;
    const { schema, table } = first;
    return { schema, table, chunks: count('chunk'), partitions: count('partition'), parts };
  });
}
