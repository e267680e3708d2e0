import type { Catalog, Relation } from '../schema/catalog.ts';
import { loadGrammar, type Parse, type ParseResult } from '../sql/parse.ts';
import { asNode, nodes, type SyntaxNode } from '../sql/tree.ts';
import { wordsOf } from './check-words.ts';
import { type ColumnFacts, factsOfQuery, type Resolve } from './view-columns.ts';

/** Facts about a column that its declaration does not show. */
export interface ColumnKnowledge {
  /** `table.column`: the column itself, or the column of a table that a view returns unchanged. */
  readonly source: string;
  readonly isNeverNull: boolean;
  /** The server refuses to write to it. */
  readonly isReadOnly: boolean;
  /** The words that validated CHECK constraints allow; undefined when none lists words. */
  readonly words: readonly string[] | undefined;
}

/**
 * Facts about each column, by `table.column`, from constraints and the queries of views. Ignores an
 * expression that the grammar of PostgreSQL 15 refuses.
 */
export async function learn(catalog: Catalog): Promise<ReadonlyMap<string, ColumnKnowledge>> {
  const { parse } = await loadGrammar();
  const words = allowedWords(catalog, parse);
  // When 'A' equals 'a' in a collation, a CHECK that lists one of them allows both.
  for (const { name: table, columns } of catalog.relations) {
    for (const { name, isDeterministic } of columns) {
      if (!isDeterministic) words.delete(`${table}.${name}`);
    }
  }
  const factsOf = resolver(catalog, parse);
  const found = new Map<string, ColumnKnowledge>();
  for (const { name: table, columns } of catalog.relations) {
    const facts = factsOf(undefined, table);
    for (const { name, generated, identity } of columns) {
      const path = `${table}.${name}`;
      const fact = facts?.get(name);
      const source = fact?.source ?? path;
      const isNeverNull = fact?.isNeverNull === true;
      const isReadOnly = generated !== null || identity === 'always';
      found.set(path, { source, isNeverNull, isReadOnly, words: words.get(source) });
    }
  }
  return found;
}

/** From CHECKs that every row satisfies: validated ones, which inheriting tables have too. */
function allowedWords({ constraints }: Catalog, parse: Parse): Map<string, readonly string[]> {
  const found = new Map<string, readonly string[]>();
  for (const { table, condition, isValidated, isInherited } of constraints) {
    if (condition === null || !isValidated || !isInherited) continue;
    const [target] = nodes(selectOf(parse(`select ${condition}`))?.targetList);
    for (const { column, words } of wordsOf(asNode(asNode(target?.ResTarget).val))) {
      const path = `${table}.${column}`;
      const before = found.get(path);
      found.set(path, before?.filter((word) => words.includes(word)) ?? words);
    }
  }
  return found;
}

/** Finds a table's columns by its declaration, and a view's columns by its query. */
function resolver({ relations, views }: Catalog, parse: Parse): Resolve {
  const relationOf = new Map(relations.map((relation) => [relation.name, relation]));
  const queryOf = new Map(views.map(({ name, query }) => [name, query]));
  const found = new Map<string, ColumnFacts>();
  const factsOf = (relation: Relation): ColumnFacts | undefined => {
    const query = queryOf.get(relation.name);
    if (query === undefined) return factsOfTable(relation);
    const select = selectOf(parse(query));
    const names = relation.columns.map(({ name }) => name);
    return select && factsOfQuery(select, names, resolve);
  };
  const resolve: Resolve = (schema, name) => {
    if (schema !== undefined && schema !== 'public') return undefined;
    const known = found.get(name);
    if (known) return known;
    const relation = relationOf.get(name);
    const facts = relation && factsOf(relation);
    if (facts) found.set(name, facts);
    return facts;
  };
  return resolve;
}

function factsOfTable({ name: table, columns }: Relation): ColumnFacts {
  return new Map(
    columns.map(({ name, isNullable }) => [
      name,
      { isNeverNull: !isNullable, source: `${table}.${name}` },
    ]),
  );
}

/** The fields of a text's SELECT; undefined for a text that the grammar refuses. */
function selectOf({ statements }: ParseResult): SyntaxNode | undefined {
  return statements?.[0]?.node.body;
}
