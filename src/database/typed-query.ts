import { CryptosenseDbError, messageOf } from '../runtime/errors.ts';
import type { Client } from './client.ts';
import {
  bindValue,
  failureOf,
  type ResultColumn,
  unknownTypeOf,
  valueReader,
} from './values/driver.ts';
import { type CatalogType, lookupQuery, resolveType } from './values/lookup.ts';

/** A connection with the types of values that are known on it. */
export type TypedClient = Pick<Client, 'sql' | 'types'>;

export type Row = Record<string, unknown>;

/** The rows of a query, with what the server says of it. */
export interface TypedResult extends ReadonlyArray<Row> {
  readonly command: string | null;
  readonly count: number | null;
  readonly columns: readonly ResultColumn[] | null;
}

/**
 * Runs a query whose values are written and read by the types that the server tells. Several
 * statements, which cannot have parameters, give the result of the last one.
 * Throws TypeError for a parameter without a text form, and `unreadable-value`.
 */
export async function runTyped(
  client: TypedClient,
  query: string,
  parameters: readonly unknown[],
): Promise<TypedResult> {
  for (;;) {
    try {
      const answer: unknown = await client.sql.unsafe(query, bind(client, parameters));
      const result = lastResult(answer as TypedResult | readonly TypedResult[]);
      const columns = result.columns ?? [];
      await complete(client, result, columns);
      refuseUnreadable(columns);
      return result;
    } catch (error) {
      const type = unknownTypeOf(error);
      if (type === undefined || client.types.has(type)) throw error;
      await learn(client, [type]);
    }
  }
}

function lastResult(answer: TypedResult | readonly TypedResult[]): TypedResult {
  return 'command' in answer ? answer : (answer[answer.length - 1] as TypedResult);
}

export interface StreamedQuery {
  readonly query: string;
  readonly parameters: readonly unknown[];
  readonly chunkSize: number;
}

/**
 * As `runTyped`, in chunks, for a query of one statement. The types are looked up first, because the
 * connection takes no other query until the last chunk.
 */
export async function* streamTyped(
  client: TypedClient,
  { query, parameters, chunkSize }: StreamedQuery,
): AsyncGenerator<readonly Row[]> {
  await describe(client, query, parameters);
  const chunks = client.sql.unsafe(query, bind(client, parameters)).cursor(chunkSize);
  let columns: readonly ResultColumn[] = [];
  for await (const rows of chunks) {
    // Only the first chunk has the columns.
    columns = (rows as unknown as TypedResult).columns ?? columns;
    refuseUnreadable(columns);
    yield rows as Row[];
  }
}

/** The columns of a query, whose types are known then. Runs nothing. Throws what the server says to the query. */
export async function describe(
  client: TypedClient,
  query: string,
  parameters: readonly unknown[] = [],
): Promise<readonly ResultColumn[]> {
  const description = client.sql.unsafe(query, bind(client, parameters)).describe();
  // The driver would leave a named statement on the server.
  Object.assign((description as unknown as { readonly options: object }).options, {
    prepare: false,
  });
  const { columns, types } = await description;
  await learn(client, [...types, ...columns.map(({ type }) => type)]);
  return columns;
}

/**
 * Parameters whose text waits for the type that the server tells. A type that is given here decides
 * what an expression means: `now() - $1` is another operator for an interval than for a timestamptz.
 */
function bind({ sql }: TypedClient, parameters: readonly unknown[]): never[] {
  return parameters.map((value, index) =>
    value === null ? null : sql.typed(bindValue(value, index + 1) as never, declaredType(value)),
  ) as never[];
}

/**
 * 0 leaves the decision to the server. Bytes that say that they are bytea would go into a column of text, as the text
 * of bytea.
 */
function declaredType(value: unknown): number {
  if (value instanceof Date) return 1184; // timestamptz
  if (typeof value !== 'bigint') return 0;
  return BigInt.asIntN(64, value) === value ? 20 : 1700; // bigint, numeric
}

/** Looks up the types that are not known on this connection. */
async function learn({ sql, types }: TypedClient, oids: readonly number[]): Promise<void> {
  const missing = oids.filter((oid) => !types.has(oid));
  if (missing.length === 0) return;
  const found = await sql.unsafe<CatalogType[]>(lookupQuery(missing));
  for (const oid of missing) types.set(oid, resolveType(oid, found));
}

/** Reads the values whose types were not known when the driver read the rows. */
async function complete(
  client: TypedClient,
  rows: readonly Row[],
  columns: readonly ResultColumn[],
) {
  const { types } = client;
  // Of two columns with one name, the row has the last one.
  const byName = new Map(columns.map((column) => [column.name, column]));
  const unknown = [...byName.values()].filter(({ type }) => !types.has(type));
  if (unknown.length === 0) return;
  await learn(
    client,
    unknown.map(({ type }) => type),
  );
  const read = valueReader(types);
  for (const column of unknown) {
    for (const row of rows) row[column.name] = read(row[column.name], column);
  }
}

function refuseUnreadable(columns: readonly ResultColumn[]): void {
  for (const column of columns) {
    const cause = failureOf(column);
    if (cause === undefined) continue;
    const { name } = column;
    throw new CryptosenseDbError(
      'unreadable-value',
      {
        message: `column "${name}" cannot be read: ${messageOf(cause)}`,
        hint: `select the column as text, with a cast: "${name}"::text`,
      },
      { details: { column: name }, cause },
    );
  }
}
