import { compareText } from '../../runtime/order.ts';
import type { Parse } from '../../sql/parse.ts';
import { fieldsBelow } from '../../sql/tree.ts';
import type { SchemaObject, Snapshot } from '../snapshot/snapshot.ts';
import {
  type ForeignKey,
  partsOfName,
  readForeignKey,
  readKey,
  readUniqueIndex,
} from './definitions.ts';
import { shortType } from './type-names.ts';

/** The tables and views of a schema, and what leads from one to another. */
export interface Diagram {
  /** By name, in bytes; partitions are left out, because they follow their table. */
  readonly tables: readonly DiagramTable[];
  /** By the table that has the key, then by name. */
  readonly references: readonly Reference[];
  /** By the view, then by what it reads. */
  readonly readings: readonly Reading[];
}

export type TableKind =
  | 'table'
  | 'hypertable'
  | 'partitioned table'
  | 'foreign table'
  | 'view'
  | 'materialized view'
  | 'continuous aggregate';

export interface DiagramTable {
  /** With its schema, quoted where it has to be, as in a snapshot. */
  readonly name: string;
  /** For people: without quotes, and without the schema `public`. */
  readonly title: string;
  readonly kind: TableKind;
  readonly comment: string | undefined;
  /** In the table's order. */
  readonly columns: readonly DiagramColumn[];
}

export interface DiagramColumn {
  /** Without quotes. */
  readonly name: string;
  /** In short: `timestamptz`. */
  readonly type: string;
  readonly isNullable: boolean;
  /** Of a key over several columns, each is marked as primary or foreign; a unique one is so alone. */
  readonly isPrimary: boolean;
  readonly isForeign: boolean;
  readonly isUnique: boolean;
  readonly comment: string | undefined;
}

/** A foreign key. */
export interface Reference {
  /** The name of the constraint, without quotes. */
  readonly name: string;
  readonly table: string;
  /** Without quotes. */
  readonly columns: readonly string[];
  readonly references: string;
  readonly referencedColumns: readonly string[];
  /** How many rows can reference one row: one where the columns are unique. */
  readonly referencing: 'zero or one' | 'zero or many';
  /** How many rows each row references: zero where a column can be NULL. */
  readonly referenced: 'exactly one' | 'zero or one';
}

/** A view and a table or view that its query reads. */
export interface Reading {
  readonly view: string;
  readonly reads: string;
}

/** Pure, but for the parser, which finds what a view reads; a query that it cannot parse reads nothing. */
export function diagramOf(snapshot: Snapshot, parse: Parse): Diagram {
  const relations = snapshot.objects.filter(({ kind }) => kind === 'table' || kind === 'view');
  const objects = relations
    .filter(({ facts }) => facts['partition of'] === undefined)
    .sort((a, b) => compareText(a.name, b.name));
  const byParts = new Map(objects.map(({ name }) => [keyOf(partsOfName(name)), name]));
  const wholes = new Map(
    relations.map(({ name, facts }) => [name, String(facts['partition of'] ?? name)]),
  );
  const shown = (name: string): string | undefined => {
    const whole = wholes.get(name);
    return whole === undefined || whole === name ? whole : shown(whole);
  };
  const notNullTypes = notNullDomains(snapshot);
  const described = objects.map((object) => describe(object, notNullTypes));
  return {
    tables: described.map(({ table }) => table),
    references: described.flatMap(({ references }) =>
      references.flatMap((reference) => {
        const references = shown(reference.references);
        return references === undefined ? [] : [{ ...reference, references }];
      }),
    ),
    readings: objects.flatMap(({ name: view, facts: { query } }) => {
      if (typeof query !== 'string') return [];
      const read = relationsIn(query, parse).flatMap((parts) => byParts.get(keyOf(parts)) ?? []);
      return [...new Set(read)].sort(compareText).map((reads) => ({ view, reads }));
    }),
  };
}

/** The diagram of these tables alone. A word is a table's name or title, with or without quotes. */
export function selectTables(
  diagram: Diagram,
  wanted: readonly string[],
): { readonly diagram: Diagram; readonly unknown: readonly string[] } {
  const isNamed = ({ name, title }: DiagramTable, word: string) =>
    [name, title].includes(word) || title === titleOf(word);
  const tables = diagram.tables.filter((table) => wanted.some((word) => isNamed(table, word)));
  const names = new Set(tables.map(({ name }) => name));
  return {
    diagram: {
      tables,
      references: diagram.references.filter(
        ({ table, references }) => names.has(table) && names.has(references),
      ),
      readings: diagram.readings.filter(({ view, reads }) => names.has(view) && names.has(reads)),
    },
    unknown: wanted.filter((word) => !tables.some((table) => isNamed(table, word))),
  };
}

/** A name for people: without quotes, and without the schema `public`. */
export function titleOf(name: string): string {
  const [schema, ...rest] = partsOfName(name);
  return (schema === 'public' && rest.length > 0 ? rest : partsOfName(name)).join('.');
}

function describe(
  { kind, name, facts, parts }: SchemaObject,
  notNullTypes: ReadonlySet<string>,
): { readonly table: DiagramTable; readonly references: readonly Reference[] } {
  const definitions = (wanted: 'constraint' | 'index') =>
    parts.flatMap((part) =>
      part.kind === wanted && typeof part.facts.definition === 'string'
        ? [{ name: part.name, definition: part.facts.definition }]
        : [],
    );
  const keys = definitions('constraint').flatMap(({ definition }) => readKey(definition) ?? []);
  const foreignKeys = definitions('constraint').flatMap((part) => {
    const found = readForeignKey(part.definition);
    return found ? [{ ...found, name: part.name }] : [];
  });
  const unique: readonly (readonly string[])[] = [
    ...keys.map(({ columns }) => columns),
    ...definitions('index').flatMap(({ definition }) => {
      const columns = readUniqueIndex(definition);
      return columns ? [columns] : [];
    }),
  ];
  const primary = keys.find(({ isPrimary }) => isPrimary)?.columns ?? [];
  const nullable = new Set<string>();
  const columns = parts.flatMap((part): DiagramColumn[] => {
    if (part.kind !== 'column') return [];
    const type = String(part.facts.type);
    const isNullable = part.facts['not null'] !== true && !notNullTypes.has(type);
    if (isNullable) nullable.add(part.name);
    return [
      {
        name: plain(part.name),
        type: shortType(type),
        isNullable,
        isPrimary: primary.includes(part.name),
        isForeign: foreignKeys.some((each) => each.columns.includes(part.name)),
        isUnique: unique.some(([column, ...more]) => column === part.name && more.length === 0),
        comment: textOf(part.facts.comment),
      },
    ];
  });
  const reference = (found: ForeignKey & { readonly name: string }): Reference => ({
    name: plain(found.name),
    table: name,
    columns: found.columns.map(plain),
    references: found.references,
    referencedColumns: found.referencedColumns.map(plain),
    referencing: unique.some((each) => each.every((column) => found.columns.includes(column)))
      ? 'zero or one'
      : 'zero or many',
    referenced: found.columns.some((column) => nullable.has(column))
      ? 'zero or one'
      : 'exactly one',
  });
  return {
    table: {
      name,
      title: titleOf(name),
      kind: kindOf(kind, facts),
      comment: textOf(facts.comment),
      columns,
    },
    references: foreignKeys.map(reference),
  };
}

function kindOf(kind: SchemaObject['kind'], { kind: own, hypertable }: SchemaObject['facts']) {
  switch (own) {
    case 'partitioned table':
    case 'foreign table':
    case 'materialized view':
    case 'continuous aggregate':
      return own;
    default:
      if (kind === 'view') return 'view';
      return hypertable === undefined ? 'table' : 'hypertable';
  }
}

function textOf(fact: SchemaObject['facts'][string] | undefined): string | undefined {
  return typeof fact === 'string' ? fact : undefined;
}

function plain(name: string): string {
  return partsOfName(name).join('.');
}

/** Domains that are never NULL, by themselves or by the domain that they are made of. */
function notNullDomains({ objects }: Snapshot): ReadonlySet<string> {
  const domains = new Map(
    objects.filter(({ kind }) => kind === 'type').map(({ name, facts }) => [name, facts]),
  );
  const isNotNull = (type: string): boolean => {
    const facts = domains.get(type);
    return facts?.['not null'] === true || (typeof facts?.of === 'string' && isNotNull(facts.of));
  };
  return new Set([...domains.keys()].filter(isNotNull));
}

/** The schema and the name of each relation that a query names with its schema. */
function relationsIn(query: string, parse: Parse): readonly (readonly string[])[] {
  return (parse(query).statements ?? []).flatMap(({ node }) =>
    [...fieldsBelow(node.body)].flatMap(({ name, body: { schemaname, relname } }) =>
      name === 'RangeVar' ? [[String(schemaname), String(relname)]] : [],
    ),
  );
}

function keyOf(parts: readonly string[]): string {
  return JSON.stringify(parts);
}
