import type { Sql } from '../database/connection.ts';
import type { Version } from '../ledger/version.ts';
import { loadGrammar, type StatementNode } from '../sql/parse.ts';
import { nameOf, runModeOf } from './run-mode.ts';
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
  return pairs.flatMap(({ version, up }) => {
    // A file that the grammar does not know names no index: `migrate up` says what is wrong with it.
    const names = (parse(up.text).statements ?? []).map(({ node }) => nameOfIndex(node));
    return invalid
      .filter(({ schema, index }) =>
        names.some((name) => name?.index === index && [undefined, schema].includes(name.schema)),
      )
      .map((found) => ({ version, ...found }));
  });
}

interface IndexName {
  /** Undefined where the text gives none. */
  readonly schema: string | undefined;
  readonly index: string | undefined;
}

/** The index that a statement creates or rebuilds; undefined for any other statement. */
function nameOfIndex(node: StatementNode): IndexName | undefined {
  const { type, body } = node;
  if (type === 'IndexStmt' && body.idxname !== undefined) {
    const [schema] = nameOf(body.relation).slice(0, -1);
    return { schema, index: String(body.idxname) };
  }
  const { remains } = runModeOf(node);
  if (remains?.kind !== 'reindex' || remains.scope !== 'index') return undefined;
  const [schema] = remains.name.slice(0, -1);
  return { schema, index: remains.name.at(-1) };
}
