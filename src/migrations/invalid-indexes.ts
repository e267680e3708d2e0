import type { Sql } from '../database/connection.ts';
import type { Version } from '../ledger/version.ts';
import { loadGrammar } from '../sql/parse.ts';
import { effectsOf, isSame, objectsAfter } from './effects.ts';
import type { GrammarOptions } from './scripts.ts';
import type { MigrationPair } from './source.ts';

/** An invalid index that a migration of the folder names. */
export interface InvalidIndex {
  readonly version: Version;
  readonly schema: string;
  readonly index: string;
  readonly table: string;
  readonly isPartitioned: boolean;
}

/** The invalid indexes that statements of the pairs create or rebuild by name, in order of version. */
export async function findInvalidIndexes(
  sql: Sql,
  pairs: readonly MigrationPair[],
  { beforeGrammar }: GrammarOptions,
): Promise<readonly InvalidIndex[]> {
  const invalid = await sql<Omit<InvalidIndex, 'version'>[]>`
    select n.nspname as schema, c.relname as index, t.relname as "table",
      c.relkind = 'I' as "isPartitioned"
    from pg_index i join pg_class c on c.oid = i.indexrelid
      join pg_class t on t.oid = i.indrelid
      join pg_namespace n on n.oid = c.relnamespace
    where not i.indisvalid and c.relpersistence <> 't'
    order by 1, 2`;
  if (invalid.length === 0) return [];
  await beforeGrammar?.();
  const { parse } = await loadGrammar();
  // A file that the grammar does not know names no index: `migrate up` says what is wrong with it.
  const standing = objectsAfter(
    pairs.map(({ version, up }) => ({
      by: version,
      effects: effectsOf(parse(up.text).statements ?? []),
    })),
  );
  return standing.flatMap(({ object, by: version }) =>
    invalid
      .filter(({ schema, index }) => isSame(object, { kind: 'index', schema, name: index }))
      .map((found) => ({ version, ...found })),
  );
}
