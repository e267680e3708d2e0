/** A row: column → value, as in the generated types. */
export type Row = Readonly<Record<string, unknown>>;

/** A row that cannot be sent, which is a fault of the seeder. */
export class RowError extends Error {
  override readonly name = 'RowError';
}

const chunkLength = 65_536;

/**
 * Encodes rows in COPY's text format, in chunks of about 64 KB
 * (https://www.postgresql.org/docs/15/sql-copy.html, "Text Format").
 * Throws RowError for a row whose columns differ from `columns`, and for a value without a text form.
 */
export function* encodeRows(
  rows: Iterable<Row>,
  {
    columns,
    onChunk,
  }: { readonly columns: readonly string[]; readonly onChunk: (rows: number) => void },
): Generator<Buffer> {
  let text = '';
  let count = 0;
  let number = 0;
  for (const row of rows) {
    number += 1;
    count += 1;
    text += encodeRow(row, { columns, number });
    if (text.length >= chunkLength) {
      yield Buffer.from(text);
      onChunk(count);
      text = '';
      count = 0;
    }
  }
  if (count > 0) {
    yield Buffer.from(text);
    onChunk(count);
  }
}

/** The columns of the first row, and all rows including the first; undefined without rows. */
export function withColumns<R extends Row>(
  rows: Iterable<R>,
): { readonly columns: readonly string[]; readonly rows: Iterable<R> } | undefined {
  const iterator = rows[Symbol.iterator]();
  const first = iterator.next();
  if (first.done) return undefined;
  return {
    columns: Object.keys(first.value),
    rows: (function* all() {
      yield first.value;
      for (let next = iterator.next(); !next.done; next = iterator.next()) yield next.value;
    })(),
  };
}

/** Batches of at most `size` rows, in order. */
export function* inBatches<R>(rows: Iterable<R>, size: number): Generator<readonly R[]> {
  let batch: R[] = [];
  for (const row of rows) {
    batch.push(row);
    if (batch.length < size) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

interface Place {
  readonly columns: readonly string[];
  /** From 1. */
  readonly number: number;
}

function encodeRow(row: Row, { columns, number }: Place): string {
  let line = '';
  let separator = '';
  for (const column of columns) {
    const text = encodeValue(row[column]);
    if (text === undefined) throw faulty(row, { column, number });
    line += separator + text;
    separator = '\t';
  }
  const given = Object.keys(row);
  if (given.length !== columns.length) {
    const extra = given.find((column) => !columns.includes(column));
    throw new RowError(`row ${number} has a column "${extra}", which the first row does not have`);
  }
  return `${line}\n`;
}

function faulty(
  row: Row,
  { column, number }: { readonly column: string; readonly number: number },
) {
  const value = row[column];
  return new RowError(
    value === undefined
      ? `row ${number} has no "${column}", which the first row has; write NULL as null`
      : `row ${number} has ${String(value)} as "${column}"`,
  );
}

/** undefined for a value that PostgreSQL has no text for. */
function encodeValue(value: unknown): string | undefined {
  switch (typeof value) {
    case 'string':
      return escapeText(value);
    case 'number':
      return Number.isFinite(value) ? String(value) : undefined;
    case 'boolean':
      return value ? 't' : 'f';
    case 'bigint':
      return String(value);
    case 'object':
      if (value === null) return '\\N';
      if (value instanceof Date) return encodeDate(value);
      return escapeText(JSON.stringify(value));
    default:
      return undefined;
  }
}

function encodeDate(date: Date): string | undefined {
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString();
}

const special = /[\\\b\f\n\r\t\v]/;
const escapes: Readonly<Record<string, string>> = {
  '\\': '\\\\',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
};

function escapeText(text: string): string {
  return special.test(text)
    ? text.replaceAll(/[\\\b\f\n\r\t\v]/g, (character) => escapes[character] ?? character)
    : text;
}
