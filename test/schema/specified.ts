import type { Constraint, Column as ReadColumn } from '../../src/schema/catalog.ts';
import type * as Read from '../support/catalog.ts';

/** Name → definition. */
export type Definitions = Readonly<Record<string, string>>;

/** Types, defaults and expressions are in `plain` form. */
export interface Column {
  readonly name: string;
  readonly type: string;
  readonly nullable: boolean;
  readonly default: string | null;
  readonly generated: string | null;
}

export interface Table {
  /** In the table's order. */
  readonly columns: readonly Column[];
  readonly primaryKey: Definitions;
  readonly unique: Definitions;
  /** Name → condition. */
  readonly checks: Definitions;
  readonly foreignKeys: Definitions;
  /** What `CREATE INDEX` says after the table's name, after `UNIQUE` for a unique index. */
  readonly indexes: Definitions;
  /** What `CREATE TRIGGER` says, without its own and the table's name. Enabled triggers only. */
  readonly triggers: Definitions;
}

export interface View {
  readonly columns: readonly Pick<Column, 'name' | 'type'>[];
  readonly definition: string;
  /** Null for a view that is no continuous aggregate. */
  readonly materializedOnly: boolean | null;
}

/** Schema `public` in the words of the specification. */
export interface Specified {
  readonly tables: Readonly<Record<string, Table>>;
  readonly views: Readonly<Record<string, View>>;
  readonly hypertables: Readonly<Record<string, Omit<Read.Hypertable, 'name'>>>;
  readonly policies: readonly Omit<Read.Job, 'isPolicy'>[];
  readonly userJobs: readonly Omit<Read.Job, 'isPolicy'>[];
  /** Every table, view and sequence → its kind. */
  readonly relations: Definitions;
  readonly functions: readonly string[];
  readonly types: readonly string[];
  /** `table` or `table.column` → comment. */
  readonly comments: Definitions;
  readonly extensions: readonly string[];
}

/**
 * A catalog in the words of the specification. PostgreSQL 15 with TimescaleDB 2.28 and PostgreSQL 17
 * with TimescaleDB 2.23, which is the embedded engine, give the same for the same schema.
 */
export function specifiedForm(catalog: Read.Catalog): Specified {
  const { relations, constraints, indexes, triggers, views, sequences, jobs } = catalog;
  const tables = relations.filter(({ kind }) => kind.endsWith('table'));
  // PostgreSQL 15 writes a table's name before each column of a view, later releases do not.
  const tableNames = new RegExp(`\\b(?:${tables.map(({ name }) => name).join('|')})\\.`, 'g');
  const jobsWhere = (isWanted: boolean) =>
    jobs.filter(({ isPolicy }) => isPolicy === isWanted).map(({ isPolicy: _, ...job }) => job);
  return {
    tables: Object.fromEntries(
      tables.map(({ name: table, columns }) => {
        const own = constraints.filter((constraint) => constraint.table === table);
        const define = (...kinds: readonly Constraint['kind'][]) =>
          definitions(own.filter(({ kind }) => kinds.includes(kind)));
        return [
          table,
          {
            columns: columns.map(specifiedColumn),
            primaryKey: define('primary key'),
            unique: define('unique', 'exclusion'),
            checks: definitions(own.flatMap(checkOf)),
            foreignKeys: define('foreign key'),
            indexes: definitions(
              indexes
                .filter((index) => index.table === table)
                .map(({ name, definition, isValid }) => ({
                  name,
                  definition: isValid ? definition : `${definition} INVALID`,
                })),
            ),
            triggers: definitions(
              triggers.filter((trigger) => trigger.table === table && trigger.isEnabled),
            ),
          },
        ];
      }),
    ),
    views: Object.fromEntries(
      views.map(({ name, query, isMaterializedOnly }) => [
        name,
        {
          columns: (relations.find((relation) => relation.name === name)?.columns ?? []).map(
            (column) => ({ name: column.name, type: column.type }),
          ),
          definition: plain(query).replaceAll(tableNames, ''),
          materializedOnly: isMaterializedOnly,
        },
      ]),
    ),
    hypertables: Object.fromEntries(
      catalog.hypertables.map(({ name, ...hypertable }) => [name, hypertable]),
    ),
    policies: jobsWhere(true),
    userJobs: jobsWhere(false),
    relations: Object.fromEntries([
      ...relations.map(({ name, kind }) => [name, kind]),
      ...sequences.map((name) => [name, 'sequence']),
    ]),
    functions: catalog.functions,
    types: catalog.types,
    comments: Object.fromEntries(
      relations
        .flatMap(({ name: relation, comment, columns }) => [
          { key: relation, comment },
          ...columns.map((column) => ({
            key: `${relation}.${column.name}`,
            comment: column.comment,
          })),
        ])
        .flatMap(({ key, comment }) => (comment === null ? [] : [[key, comment]])),
    ),
    extensions: catalog.extensions,
  };
}

function specifiedColumn({ name, type, isNullable, ...column }: ReadColumn): Column {
  return {
    name,
    type,
    nullable: isNullable,
    default: column.default === null ? null : plain(column.default),
    generated:
      column.generated === null ? null : plain(column.generated).replace(/^\(([^()]*)\)$/, '$1'),
  };
}

function checkOf({ name, condition, isValidated }: Constraint) {
  if (condition === null) return [];
  return [{ name, definition: isValidated ? condition : `${condition} NOT VALID` }];
}

function definitions(
  rows: readonly { readonly name: string; readonly definition: string }[],
): Definitions {
  return Object.fromEntries(rows.map(({ name, definition }) => [name, plain(definition)]));
}

/**
 * A definition on one line, without what PostgreSQL adds to the words of a migration: casts of
 * literals to text, numeric and the like, schema `public`, quotes around `time`, `= ANY (ARRAY[…])`
 * for `IN`, the object's own name and its table's. String literals stay as they are.
 */
function plain(definition: string): string {
  return definition
    .split(/('(?:[^']|'')*')/)
    .map((part, position) => (position % 2 === 1 ? part : withoutNoise(part)))
    .join('')
    .replaceAll(/= ANY \(ARRAY\[(.*?)\]\)/g, 'IN ($1)')
    .replace(/^CREATE (UNIQUE )?INDEX \S+ ON (?:ONLY )?\S+ (?:USING btree )?/, '$1')
    .replace(/^CREATE TRIGGER \S+ (.*?) ON \S+/, '$1')
    .replace(/;$/, '')
    .trim();
}

function withoutNoise(sql: string): string {
  return sql
    .replaceAll(/::(?:character varying|text|numeric|jsonb|interval)(?:\[\])?/g, '')
    .replaceAll(/\bpublic\./g, '')
    .replaceAll(/"(\w+)"/g, '$1')
    .replaceAll(/\s+/g, ' ');
}
