import { compareText } from '../../runtime/order.ts';
import type { Fact, Facts } from './snapshot.ts';

type Given = Readonly<Record<string, Fact | Readonly<Record<string, unknown>> | null | undefined>>;

/** Facts without those that are as usual: null, false, an empty text or list. The names are in the order given. */
export function factsOf(given: Given): Facts {
  const facts: Record<string, Fact> = {};
  for (const [name, value] of Object.entries(given)) {
    if (value === null || value === undefined || value === false || value === '') continue;
    if (Array.isArray(value) ? value.length > 0 : true) facts[name] = asFact(value);
  }
  return facts;
}

function asFact(value: Fact | Readonly<Record<string, unknown>>): Fact {
  return typeof value === 'object' && !isList(value) ? canonicalJson(value) : value;
}

function isList(value: object): value is readonly string[] {
  return Array.isArray(value);
}

/** JSON with the keys of objects in order. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) =>
    typeof each === 'object' && each !== null && !Array.isArray(each)
      ? Object.fromEntries(Object.entries(each).sort(([a], [b]) => compareText(a, b)))
      : each,
  );
}
