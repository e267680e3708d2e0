import type { ColumnType } from './syntax.ts';

/** A table, view or continuous aggregate, as far as the statements before say. */
export interface Table {
  readonly kind: 'table' | 'view' | 'aggregate';
  /** The file that creates it. */
  readonly file: string;
  /** The last file that empties it with TRUNCATE. */
  readonly emptiedIn?: string;
  readonly isTemporary?: true;
  /** PARTITION BY. */
  readonly isPartitioned?: true;
  /** Of a partition: the key of its parent. */
  readonly parent?: string | undefined;
  /** Empty where the statement takes the columns from elsewhere. */
  readonly columns: ReadonlyMap<string, ColumnType>;
  /** The columns of its primary key, unique constraints and unique indexes. */
  readonly uniqueKeys: readonly (readonly string[])[];
  /** Of a hypertable: the columns of its dimensions; empty where the text does not say them. */
  readonly dimensions?: readonly string[] | undefined;
  readonly compression?: Compression | undefined;
  /** What its retention policy keeps; undefined without one, and for an interval that cannot be read. */
  readonly retentionHours?: number | undefined;
  /** Of an aggregate: the table that it is computed from, and how far its refresh policy reaches back. */
  readonly source?: string | undefined;
  readonly refreshHours?: number | undefined;
}

export interface Compression {
  /** The file that switches it on. */
  readonly file: string;
  /** The columns by which rows are segmented and ordered. */
  readonly columns: readonly string[];
}

/** The key of its table. */
export interface Index {
  readonly table: string;
}

/** What the statements before have made, by the keys of tables and indexes. */
export interface Model {
  readonly tables: ReadonlyMap<string, Table>;
  readonly indexes: ReadonlyMap<string, Index>;
}

export const emptyModel: Model = { tables: new Map(), indexes: new Map() };

/** True for a table that the file itself has created: no program knows it yet. */
export function isNew(model: Model, key: string, file: string): boolean {
  return model.tables.get(key)?.file === file;
}

/** True for a table that the file itself has created or truncated: it has no rows to scan, rewrite or wait for. */
export function isEmpty(model: Model, key: string, file: string): boolean {
  return isNew(model, key, file) || model.tables.get(key)?.emptiedIn === file;
}

export function isHypertable(model: Model, key: string): boolean {
  return model.tables.get(key)?.dimensions !== undefined;
}

/** The aggregates that are computed from a table, with their keys. */
export function aggregatesOf(model: Model, key: string): readonly (readonly [string, Table])[] {
  return [...model.tables].filter(([, { source }]) => source === key);
}
