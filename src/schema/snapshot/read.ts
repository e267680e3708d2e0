import type { Sql } from '../../database/connection.ts';
import type { GrammarOptions } from '../../migrations/scripts.ts';
import { compareText } from '../../runtime/order.ts';
import { loadGrammar, type Parse } from '../../sql/parse.ts';
import { withCatalog } from '../catalog.ts';
import {
  readDatabase,
  readEventTriggers,
  readExtensions,
  readFunctions,
  readPublications,
  readSchemas,
  readSequences,
  readTypes,
} from './others.ts';
import { readRelations } from './relations.ts';
import { objectKinds, type Rights, type SchemaObject, type Snapshot } from './snapshot.ts';
import { readJobs, readTimescale } from './timescale.ts';

/**
 * Reads the schema of a database in one read-only transaction. Left out: PostgreSQL's own schemas, members of
 * extensions, chunks and TimescaleDB's own schemas and jobs, statistics, rows, and the ledger. `sql` is one connection,
 * outside a transaction.
 */
export async function readSnapshot(sql: Sql, options: Rights & GrammarOptions): Promise<Snapshot> {
  await options.beforeGrammar?.();
  const { parse } = await loadGrammar();
  return withCatalog(sql, () => readWithin(sql, { ...options, parse }));
}

/** The same, within the caller's `withCatalog`. */
export async function readWithin(
  sql: Sql,
  { parse, ...options }: Rights & { readonly parse: Parse },
): Promise<Snapshot> {
  const timescale = await readTimescale(sql);
  const objects = [
    ...(await readDatabase(sql, options)),
    ...(await readExtensions(sql, options)),
    ...(await readSchemas(sql, options)),
    ...(await readTypes(sql, options)),
    ...(await readSequences(sql, options)),
    ...(await readFunctions(sql, options)),
    ...(await readRelations(sql, { ...options, timescale, parse })),
    ...(await readJobs(sql, timescale)),
    ...(await readPublications(sql, options)),
    ...(await readEventTriggers(sql, options)),
  ];
  const { owners, grants } = options;
  return { format: 1, owners, grants, objects: objects.sort(compareObjects) };
}

const rank = new Map(objectKinds.map((kind, index) => [kind, index]));

function compareObjects(a: SchemaObject, b: SchemaObject): number {
  return (rank.get(a.kind) ?? 0) - (rank.get(b.kind) ?? 0) || compareText(a.name, b.name);
}
