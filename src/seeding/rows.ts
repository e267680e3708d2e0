/** A row: column → value, as in the generated types. */
export type Row = Readonly<Record<string, unknown>>;

/** A row that cannot be sent, which is a fault of the seeder. */
export class RowError extends Error {
  override readonly name = 'RowError';
}

/**
 * Rows in COPY's text format (https://www.postgresql.org/docs/15/sql-copy.html, "Text Format").
 * `before` rows came earlier, which messages count too. Throws RowError for a row whose columns differ
 * from `columns`, and for a value without a text form.
 */
export function encodeRows(
  rows: readonly Row[],
  { columns, before }: { readonly columns: readonly string[]; readonly before: number },
): string {
  return rows.map((row, index) => encodeRow(row, { columns, number: before + index + 1 })).join('');
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

/** `number` counts rows from 1. */
function encodeRow(
  row: Row,
  { columns, number }: { readonly columns: readonly string[]; readonly number: number },
): string {
  const texts = columns.map((column) => {
    const value = row[column];
    const text = encodeValue(value);
    if (text !== undefined) return text;
    throw new RowError(
      value === undefined
        ? `row ${number} has no "${column}", which the first row has; write NULL as null`
        : `row ${number} has ${String(value)} as "${column}"`,
    );
  });
  const extra = Object.keys(row).find((column) => !columns.includes(column));
  if (extra !== undefined) {
    throw new RowError(`row ${number} has a column "${extra}", which the first row does not have`);
  }
  return `${texts.join('\t')}\n`;
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
      if (value instanceof Date)
        return Number.isNaN(value.getTime()) ? undefined : value.toISOString();
      return escapeText(JSON.stringify(value));
    default:
      return undefined;
  }
}

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
  return text.replaceAll(/[\\\b\f\n\r\t\v]/g, (character) => escapes[character] ?? character);
}
