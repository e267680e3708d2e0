import type { MigrationPair } from '../migrations/source.ts';
import type { ObjectDifference } from './snapshot/difference.ts';

/**
 * The migrations that last named what differs, oldest first: for each part the newest whose text names the object and the
 * part, else the newest that names the object. Empty when no migration names it.
 */
export function definedIn(
  difference: ObjectDifference,
  pairs: readonly MigrationPair[],
): readonly string[] {
  const object = wordsOf(difference.name);
  const newest = (words: readonly string[]) =>
    pairs.findLast(({ up }) => words.every((word) => names(up.text, word)));
  const parts = difference.change === 'changed' ? difference.parts : [];
  const isOfObject = difference.change !== 'changed' || difference.facts.length > 0;
  const found = new Set([
    ...parts.map(({ name }) => newest([...object, ...wordsOf(name)]) ?? newest(object)),
    ...(isOfObject ? [newest(object)] : []),
  ]);
  return pairs.filter((pair) => found.has(pair)).map(({ up }) => up.name);
}

/**
 * The names without quotes, schemas and arguments: `users` for `public.users`, and both the procedure and the table for
 * `delete_old on public.users (2)`. A policy's procedure is named as the call that adds it.
 */
function wordsOf(name: string): readonly string[] {
  return name.split(' on ').map((part) => {
    const last =
      part
        .replace(/ ?\(.*$/, '')
        .split('.')
        .at(-1) ?? '';
    const word = last.replace(/^"(.*)"$/, '$1').replaceAll('""', '"');
    return policyCalls.get(word) ?? word;
  });
}

/** What a migration calls to make TimescaleDB's policies. */
const policyCalls: ReadonlyMap<string, string> = new Map([
  ['policy_compression', 'add_compression_policy'],
  ['policy_retention', 'add_retention_policy'],
  ['policy_refresh_continuous_aggregate', 'add_continuous_aggregate_policy'],
]);

function names(text: string, word: string): boolean {
  const escaped = word.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`(?<![\\w$])${escaped}(?![\\w$])`, 'i').test(text);
}
