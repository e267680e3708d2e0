import { type ValueType, writeValue } from '../database/values/value-types.ts';

/** A row: column → value, as in the generated types. */
export type Row = Readonly<Record<string, unknown>>;

/** A row that cannot be sent, which is a fault of the seeder. */
export class RowError extends Error {
  override readonly name = 'RowError';
}

/** A column that rows are written to. */
export interface TargetColumn {
  readonly name: string;
  readonly type: ValueType;
}

/**
 * Rows in COPY's text format (https://www.postgresql.org/docs/15/sql-copy.html, "Text Format").
 * `before` rows came earlier, which messages count too. Throws RowError for a row whose columns differ
 * from `columns`, and for a value without a text form.
 */
export function encodeRows(
  rows: readonly Row[],
  { columns, before }: { readonly columns: readonly TargetColumn[]; readonly before: number },
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
  { columns, number }: { readonly columns: readonly TargetColumn[]; readonly number: number },
): string {
  const texts = columns.map(({ name, type }) => {
    const value = row[name];
    if (value === null) return '\\N';
    if (value === undefined) {
      throw new RowError(
        `row ${number} has no "${name}", which the first row has; write NULL as null`,
      );
    }
    return escapeText(textOf(value, { name, type, number }));
  });
  const extra = Object.keys(row).find((key) => !columns.some(({ name }) => name === key));
  if (extra !== undefined) {
    throw new RowError(`row ${number} has a column "${extra}", which the first row does not have`);
  }
  return `${texts.join('\t')}\n`;
}

function textOf(value: unknown, place: TargetColumn & { readonly number: number }): string {
  try {
    return writeValue(place.type, value);
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause;
    throw new RowError(`row ${place.number} has ${cause.message} as "${place.name}"`, { cause });
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
