import type { MigrationPair } from '../migrations/source.ts';
import type { ObjectDifference } from './snapshot/difference.ts';

/**
 * The name of the newest migration whose text names the object and, where one part differs, that part; else the object
 * alone. undefined when no migration names it.
 */
export function definedIn(
  difference: ObjectDifference,
  pairs: readonly MigrationPair[],
): string | undefined {
  const object = wordsOf(difference.name);
  const parts = difference.change === 'changed' ? difference.parts.map(({ name }) => name) : [];
  const newest = (words: readonly string[]) =>
    pairs.findLast(({ up }) => words.every((word) => names(up.text, word)))?.up.name;
  const [part] = parts;
  const both =
    parts.length === 1 && part !== undefined ? newest([...object, ...wordsOf(part)]) : undefined;
  return both ?? newest(object);
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
