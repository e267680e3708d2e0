import { compareText } from '../../runtime/order.ts';
import {
  type Fact,
  type Facts,
  type ObjectKind,
  objectKinds,
  type Part,
  type PartKind,
  partKinds,
  type SchemaObject,
  type Snapshot,
} from './snapshot.ts';

/** How one object differs from a first snapshot to a second one. */
export type ObjectDifference =
  | { readonly change: 'added' | 'removed'; readonly kind: ObjectKind; readonly name: string }
  | {
      readonly change: 'changed';
      readonly kind: ObjectKind;
      readonly name: string;
      readonly facts: readonly FactDifference[];
      readonly parts: readonly PartDifference[];
    };

export type PartDifference =
  | {
      readonly change: 'added' | 'removed';
      readonly kind: PartKind;
      readonly name: string;
      /** What is or was said of it. */
      readonly summary: string;
    }
  | {
      readonly change: 'changed';
      readonly kind: PartKind;
      readonly name: string;
      readonly facts: readonly FactDifference[];
    };

/** undefined: the fact is as usual, and no snapshot says it. */
export interface FactDifference {
  readonly fact: string;
  readonly before: Fact | undefined;
  readonly after: Fact | undefined;
}

/** Compares two snapshots. Empty when they are equal; in the order of snapshots otherwise. */
export function compareSnapshots(before: Snapshot, after: Snapshot): readonly ObjectDifference[] {
  return objectKinds.flatMap((kind) => {
    const ofKind = ({ objects }: Snapshot) => objects.filter((object) => object.kind === kind);
    return pair(ofKind(before), ofKind(after)).flatMap(
      ({ name, old, now }): readonly ObjectDifference[] => {
        if (!now) return [{ change: 'removed', kind, name }];
        if (!old) return [{ change: 'added', kind, name }];
        const facts = [...compareFacts(old.facts, now.facts), ...compareColumnOrder(old, now)];
        const parts = compareParts(old.parts, now.parts);
        if (facts.length === 0 && parts.length === 0) return [];
        return [{ change: 'changed', kind, name, facts, parts }];
      },
    );
  });
}

function compareParts(before: readonly Part[], after: readonly Part[]): readonly PartDifference[] {
  return partKinds.flatMap((kind) => {
    const ofKind = (parts: readonly Part[]) => parts.filter((part) => part.kind === kind);
    return pair(ofKind(before), ofKind(after)).flatMap(
      ({ name, old, now }): readonly PartDifference[] => {
        if (old && !now) return [{ change: 'removed', kind, name, summary: summaryOf(old) }];
        if (now && !old) return [{ change: 'added', kind, name, summary: summaryOf(now) }];
        const facts = compareFacts(old?.facts ?? {}, now?.facts ?? {});
        return facts.length === 0 ? [] : [{ change: 'changed', kind, name, facts }];
      },
    );
  });
}

/** The objects with the same name, by name. Each is on one side at least. */
function pair<T extends { readonly name: string }>(
  before: readonly T[],
  after: readonly T[],
): readonly { readonly name: string; readonly old: T | undefined; readonly now: T | undefined }[] {
  const old = new Map(before.map((each) => [each.name, each]));
  const now = new Map(after.map((each) => [each.name, each]));
  const names = [...new Set([...old.keys(), ...now.keys()])].sort(compareText);
  return names.map((name) => ({ name, old: old.get(name), now: now.get(name) }));
}

function compareFacts(before: Facts, after: Facts): readonly FactDifference[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return names.flatMap((fact) =>
    isSame(before[fact], after[fact]) ? [] : [{ fact, before: before[fact], after: after[fact] }],
  );
}

function isSame(a: Fact | undefined, b: Fact | undefined): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** The order of the columns that both have. */
function compareColumnOrder(before: SchemaObject, after: SchemaObject): readonly FactDifference[] {
  const namesOf = ({ parts }: SchemaObject) =>
    parts.filter(({ kind }) => kind === 'column').map(({ name }) => name);
  const [old, now] = [namesOf(before), namesOf(after)];
  const [oldOrder, newOrder] = [
    old.filter((name) => now.includes(name)),
    now.filter((name) => old.includes(name)),
  ];
  return isSame(oldOrder, newOrder)
    ? []
    : [{ fact: 'order of columns', before: oldOrder, after: newOrder }];
}

/** The definition, or the type with what else is said: `numeric(20,8), not null`. */
function summaryOf({ facts }: Part): string {
  if (typeof facts.definition === 'string') return facts.definition;
  return Object.entries(facts)
    .filter(([fact]) => fact !== 'comment')
    .map(([fact, value]) => {
      if (fact === 'type') return String(value);
      return value === true ? fact : `${fact} ${printFact(value)}`;
    })
    .join(', ');
}

function printFact(fact: Fact): string {
  return typeof fact === 'object' ? fact.join(', ') : String(fact);
}
