import { formatBytes, formatCount } from '../../runtime/amounts.ts';
import { isoDay } from '../../runtime/days.ts';
import {
  readIndexes,
  readTableScans,
  readUncoveredKeys,
  type TableIndex,
  type UncoveredKey,
} from '../index-reading.ts';
import { dropStatement, isRemainder, type NamedIndex, repairOf } from '../invalid-indexes.ts';
import { defineQuestion } from '../question.ts';
import { describeCounting, describeHeld, describeNoEstimate, readCountingSince } from '../sight.ts';

export type IndexFault = 'invalid' | 'foreign key' | 'duplicate' | 'prefix' | 'unused' | 'bloated';

export type FaultyIndex = {
  readonly table: string;
  /** The index, or the foreign key that has none. */
  readonly name: string;
  readonly fault: IndexFault;
  readonly detail: string;
  /** null for a foreign key. */
  readonly bytes: number | null;
  readonly scans: number | null;
};

export interface IndexFacts {
  readonly indexes: readonly TableIndex[];
  readonly uncovered: readonly UncoveredKey[];
  /** How often each table was read. */
  readonly tableScans: ReadonlyMap<string, number>;
  /** Since when the counters run; null: they were never reset. */
  readonly since: Date | null;
  readonly now: Date;
  readonly isCounting: boolean;
}

/** An index that no query needs takes at least so much. */
const notableBytes = 1e6;
/** So many reads of a table are enough to tell that none of them needs an index. */
const enoughScans = 1_000;
const enoughMs = 7 * 86_400_000;
/** A rebuild that frees less is not worth its work. */
const notableBloat = 10e6;

interface Judged {
  readonly row: FaultyIndex;
  readonly advice: string;
}

/** Each fault with what to do about it, the worst first. An index has one fault at most. */
export function judgeIndexes(facts: IndexFacts): readonly Judged[] {
  const { indexes, uncovered } = facts;
  const judges = [judgeInvalid, judgeRedundant, judgeUnused, judgeBloated];
  const faulty = indexes.flatMap((index) => {
    for (const judge of judges) {
      const judged = judge(index, facts);
      if (judged) return [judged];
    }
    return [];
  });
  const order: readonly IndexFault[] = [
    'invalid',
    'foreign key',
    'duplicate',
    'prefix',
    'unused',
    'bloated',
  ];
  return [...faulty, ...uncovered.map(judgeUncovered)].sort(
    (a, b) => order.indexOf(a.row.fault) - order.indexOf(b.row.fault),
  );
}

function judged(
  { table, name, bytes, scans }: TableIndex,
  fault: IndexFault,
  { detail, advice }: { readonly detail: string; readonly advice: string },
): Judged {
  return { row: { table, name, fault, detail, bytes, scans }, advice };
}

function dropOf(index: NamedIndex): string {
  return `\`${dropStatement(index)}\``;
}

function judgeInvalid(index: TableIndex): Judged | undefined {
  const { table, name, isValid } = index;
  if (isValid) return undefined;
  const { what, statement } = repairOf(index);
  return judged(index, 'invalid', {
    detail: isRemainder(index) ? 'left behind by REINDEX' : 'its creation failed',
    advice: `The index ${name} of ${table} is invalid: no query uses it, and every write pays for it. ${what}: \`${statement}\`.`,
  });
}

/** Dropping one of these changes more than the speed of queries. */
function isKept({ isUnique, isOfConstraint, isReplicaIdentity }: TableIndex): boolean {
  return isUnique || isOfConstraint || isReplicaIdentity;
}

function judgeRedundant(index: TableIndex, { indexes }: IndexFacts): Judged | undefined {
  if (isKept(index)) return undefined;
  const others = indexes.filter(
    (other) => other.table === index.table && other !== index && other.isValid,
  );
  const twin = others.find((other) => isSame(index, other) && isPreferred(other, index));
  if (twin) {
    return judged(index, 'duplicate', {
      detail: `same as ${twin.name}`,
      advice: `The index ${index.name} of ${index.table} does what ${twin.name} does. Drop it: ${dropOf(index)}.`,
    });
  }
  const wider = others.find((other) => isLedBy(other, index) && !isSame(index, other));
  if (!wider) return undefined;
  return judged(index, 'prefix', {
    detail: `its columns lead ${wider.name}`,
    advice:
      `Queries can use ${wider.name} in place of ${index.name}, whose columns it begins with. ` +
      `Drop the shorter one: ${dropOf(index)}.`,
  });
}

/** Of two equal indexes the one that stays: that of a constraint, then the more used, then the first by name. */
function isPreferred(one: TableIndex, other: TableIndex): boolean {
  if (isKept(one) !== isKept(other)) return isKept(one);
  if (one.scans !== other.scans) return one.scans > other.scans;
  return one.name < other.name;
}

function isSame(one: TableIndex, other: TableIndex): boolean {
  return (
    isLedBy(one, other) &&
    one.keys.length === other.keys.length &&
    hasAll(one.included, other.included) &&
    hasAll(other.included, one.included)
  );
}

/** Whether the keys of `short` are the first ones of `long`, so that `long` serves every query that `short` serves. */
function isLedBy(long: TableIndex, short: TableIndex): boolean {
  const { length } = short.keys;
  const isOther = long.method !== short.method || long.predicate !== short.predicate;
  if (isOther || long.keys.length < length) return false;
  // A B-tree can be read in both directions. Other methods have no first column.
  if (long.method !== 'btree' && long.keys.length !== length) return false;
  const isReversed = long.options[0] !== short.options[0];
  return (
    short.keys.every(
      (key, at) =>
        key === long.keys[at] &&
        short.classes[at] === long.classes[at] &&
        (short.options[at] ?? 0) === ((long.options[at] ?? 0) ^ (isReversed ? 3 : 0)),
    ) && hasAll([...long.keys, ...long.included], short.included)
  );
}

function hasAll(all: readonly string[], some: readonly string[]): boolean {
  return some.every((each) => all.includes(each));
}

function judgeUnused(index: TableIndex, facts: IndexFacts): Judged | undefined {
  const { since, now, isCounting, tableScans } = facts;
  const isLong = since === null || now.getTime() - since.getTime() >= enoughMs;
  const reads = tableScans.get(index.table) ?? 0;
  const isUnused = isCounting && isLong && index.scans === 0 && reads >= enoughScans;
  if (!isUnused || isKept(index) || index.servesForeignKey) return undefined;
  if (index.bytes < notableBytes) return undefined;
  const start = since === null ? 'the counters were never reset' : `since ${isoDay(since)}`;
  return judged(index, 'unused', {
    detail: since === null ? 'no scan' : `no scan ${start}`,
    advice:
      `No query on this server has used ${index.name} (${formatBytes(index.bytes)}; ${start}), ` +
      `while ${index.table} was read ${formatCount(reads)} times. Replicas have their own counts: look there too. ` +
      `If it serves no rare report either, drop it: ${dropOf(index)}.`,
  });
}

function judgeBloated(index: TableIndex): Judged | undefined {
  const { table, name, bytes, neededBytes } = index;
  if (neededBytes === null || bytes < 2 * neededBytes) return undefined;
  if (bytes - neededBytes < notableBloat) return undefined;
  return judged(index, 'bloated', {
    detail: `${formatBytes(neededBytes)} would do (estimate)`,
    advice:
      `The index ${name} of ${table} takes ${formatBytes(bytes)}; by an estimate from the statistics, ` +
      `${formatBytes(neededBytes)} would do. Rebuild it: \`reindex index concurrently ${name}\`.`,
  });
}

function judgeUncovered({ table, tableKind, name, columns, referenced }: UncoveredKey): Judged {
  const list = columns.join(', ');
  const statement =
    tableKind === 'hypertable'
      ? `create index on ${table} (${list}) with (timescaledb.transaction_per_chunk)`
      : tableKind === 'partitioned table'
        ? `create index on ${table} (${list})`
        : `create index concurrently on ${table} (${list})`;
  return {
    row: {
      table,
      name,
      fault: 'foreign key',
      detail: `no index on (${list})`,
      bytes: null,
      scans: null,
    },
    advice:
      `Each row deleted from ${referenced} reads all of ${table}, which has no index on (${list}) for the foreign key ` +
      `${name}. Create one: \`${statement}\`.`,
  };
}

export const indexes = defineQuestion<FaultyIndex>({
  name: 'indexes',
  columns: [
    { key: 'table', label: 'table', kind: 'text' },
    { key: 'name', label: 'index or foreign key', kind: 'text' },
    { key: 'fault', label: 'fault', kind: 'text' },
    { key: 'detail', label: 'detail', kind: 'text' },
    { key: 'bytes', label: 'size', kind: 'bytes' },
    { key: 'scans', label: 'scans', kind: 'count', isOptional: true },
  ],
  empty: 'No index is invalid, duplicate, unused or bloated, and every foreign key has one.',
  ask: async (session, sight) => {
    const found = await readIndexes(sight);
    const faults = judgeIndexes({
      indexes: found,
      uncovered: await readUncoveredKeys(sight),
      tableScans: await readTableScans(sight),
      since: await readCountingSince(session),
      now: new Date(),
      isCounting: sight.isCounting,
    });
    const unread = found.filter(
      ({ tableKind, method, neededBytes, bytes }) =>
        tableKind === 'table' &&
        method === 'btree' &&
        neededBytes === null &&
        bytes >= notableBloat,
    );
    return {
      rows: faults.map(({ row }) => row),
      advice: faults.map(({ advice }) => advice),
      unseen: [
        ...describeHeld(sight),
        ...describeCounting(sight),
        ...(unread.length > 0
          ? [
              describeNoEstimate(
                sight,
                `Whether ${unread.map(({ name }) => name).join(', ')} is bloated`,
              ),
            ]
          : []),
      ],
    };
  },
});
