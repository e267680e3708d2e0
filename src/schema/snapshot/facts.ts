import type { Fact, Facts } from './snapshot.ts';

/** Facts without those that are as usual: null, false, an empty text or list. The names are in the order given. */
export function factsOf(given: Readonly<Record<string, Fact | null | undefined>>): Facts {
  const facts: Record<string, Fact> = {};
  for (const [name, value] of Object.entries(given)) {
    if (value === null || value === undefined || value === false || value === '') continue;
    if (!Array.isArray(value) || value.length > 0) facts[name] = value;
  }
  return facts;
}
