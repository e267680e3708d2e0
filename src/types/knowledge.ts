import type { Catalog, View } from '../schema/catalog.ts';
import { loadGrammar, type Parse, type ParseResult } from '../sql/parse.ts';
import { asNode, nodes, type SyntaxNode } from '../sql/tree.ts';
import { wordsOf } from './check-words.ts';
import { type ColumnFacts, factsOfQuery, type Resolve } from './view-columns.ts';

/** What is known of a column beyond its declaration. */
export interface ColumnKnowledge {
  /** The column itself, or the table's column that a view shows as it is: `table.column`. */
  readonly source: string;
  readonly isNeverNull: boolean;
  /** What is written there is refused. */
  readonly isReadOnly: boolean;
  /** The words that validated CHECK constraints allow, undefined where none lists them. */
  readonly words: readonly string[] | undefined;
}

/**
 * What constraints and the queries of views say of each column, by `table.column`. An expression
 * that PostgreSQL's grammar of release 15 does not know says nothing.
 */
export async function learn(catalog: Catalog): Promise<ReadonlyMap<string, ColumnKnowledge>> {
  const parse = await loadGrammar();
  const words = allowedWords(catalog, parse);
  // Where 'A' equals 'a', a CHECK that lists one of them lets the other pass.
  for (const { name: table, columns } of catalog.relations) {
    for (const { name, isComparedByBytes } of columns) {
      if (!isComparedByBytes) words.delete(`${table}.${name}`);
    }
  }
  const factsOf = resolver(catalog, parse);
  const found = new Map<string, ColumnKnowledge>();
  for (const { name: table, columns } of catalog.relations) {
    const facts = factsOf(undefined, table);
    for (const { name, isReadOnly } of columns) {
      const path = `${table}.${name}`;
      const fact = facts?.get(name);
      const source = fact?.source ?? path;
      const isNeverNull = fact?.isNeverNull === true;
      found.set(path, { source, isNeverNull, isReadOnly, words: words.get(source) });
    }
  }
  return found;
}

function allowedWords({ checks }: Catalog, parse: Parse): Map<string, readonly string[]> {
  const found = new Map<string, readonly string[]>();
  for (const { table, condition } of checks) {
    const [target] = nodes(selectOf(parse(`select ${condition}`))?.targetList);
    for (const { column, words } of wordsOf(asNode(asNode(target?.ResTarget).val))) {
      const path = `${table}.${column}`;
      const before = found.get(path);
      found.set(path, before?.filter((word) => words.includes(word)) ?? words);
    }
  }
  return found;
}

/** Tables by their declaration, views by their queries, views over views by theirs in turn. */
function resolver({ relations, views }: Catalog, parse: Parse): Resolve {
  const viewOf = new Map(views.map((view) => [view.name, view]));
  const found = new Map<string, ColumnFacts>();
  const resolve: Resolve = (schema, name) => {
    if (schema !== undefined && schema !== 'public') return undefined;
    const known = found.get(name);
    if (known) return known;
    const view = viewOf.get(name);
    const table = relations.find((relation) => relation.name === name);
    const facts = view ? factsOfView(view, { parse, resolve }) : table && factsOfTable(table);
    if (facts) found.set(name, facts);
    return facts;
  };
  return resolve;
}

function factsOfTable({ name: table, columns }: Catalog['relations'][number]): ColumnFacts {
  return new Map(
    columns.map(({ name, isNullable }) => [
      name,
      { isNeverNull: !isNullable, source: `${table}.${name}` },
    ]),
  );
}

function factsOfView(
  { query, columns }: View,
  { parse, resolve }: { readonly parse: Parse; readonly resolve: Resolve },
): ColumnFacts | undefined {
  const select = selectOf(parse(query));
  return select && factsOfQuery(select, columns, resolve);
}

/** The fields of a text's SELECT; undefined for a text that the grammar refuses. */
function selectOf({ statements }: ParseResult): SyntaxNode | undefined {
  return statements?.[0]?.node.body;
}
