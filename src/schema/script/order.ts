import { compareText } from '../../runtime/order.ts';
import type { SchemaObject } from '../snapshot/snapshot.ts';
import { type Dependency, keyOf } from './source.ts';

export interface Order {
  /** Each after the objects that it depends on, else in the order given. */
  readonly objects: readonly SchemaObject[];
  /** Parts that need an object which itself needs their table, as `object` and `part` of a dependency. */
  readonly late: ReadonlySet<string>;
}

/** A key of `late`. */
export function partKey(object: string, part: string): string {
  return `${object}: ${part}`;
}

/** A part is made with its object, unless something that it depends on depends on the object. */
export function orderObjects(
  objects: readonly SchemaObject[],
  dependencies: readonly Dependency[],
): Order {
  const keys = new Set(objects.map(keyOf));
  const known = dependencies
    .filter(({ object, on }) => keys.has(object) && keys.has(on) && object !== on)
    .sort((a, b) => compareText(written(a), written(b)));
  const graph = new Map<string, string[]>();
  for (const { object, part, on } of known) if (part === null) addEdge(graph, object, on);
  const late = new Set<string>();
  for (const { object, part, on } of known) {
    if (part === null) continue;
    if (leadsTo(graph, on, object)) late.add(partKey(object, part));
    else addEdge(graph, object, on);
  }
  return { objects: sortByEdges(objects, graph), late };
}

function written({ object, part, on }: Dependency): string {
  return [object, part ?? '', on].join('\n');
}

type Graph = ReadonlyMap<string, readonly string[]>;

function addEdge(graph: Map<string, string[]>, from: string, to: string): void {
  graph.set(from, [...(graph.get(from) ?? []), to]);
}

function leadsTo(graph: Graph, from: string, to: string): boolean {
  const seen = new Set<string>();
  const waiting = [from];
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    if (at === to) return true;
    if (seen.has(at)) continue;
    seen.add(at);
    waiting.push(...(graph.get(at) ?? []));
  }
  return false;
}

function sortByEdges(objects: readonly SchemaObject[], graph: Graph): readonly SchemaObject[] {
  const rank = new Map(objects.map((object, index) => [keyOf(object), index]));
  const sorted: SchemaObject[] = [];
  const seen = new Set<number>();
  const visit = (index: number) => {
    const object = objects[index];
    if (!object || seen.has(index)) return;
    seen.add(index);
    const needed = (graph.get(keyOf(object)) ?? []).flatMap((key) => rank.get(key) ?? []);
    for (const each of needed.sort((a, b) => a - b)) visit(each);
    sorted.push(object);
  };
  for (const index of objects.keys()) visit(index);
  return sorted;
}
