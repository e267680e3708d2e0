import type { Facts, Part, SchemaObject, Snapshot } from '../../src/schema/snapshot/snapshot.ts';

/** A snapshot of these objects. */
export function snapshotOf(...objects: readonly SchemaObject[]): Snapshot {
  return { format: 1, owners: false, grants: false, objects };
}

/** A table or view: `columns` as `id integer!` for a name and a type that is NOT NULL, the others by name. */
export function relationOf(
  name: string,
  {
    kind = 'table',
    facts = {},
    columns = [],
    constraints = [],
    indexes = [],
  }: {
    readonly kind?: 'table' | 'view';
    readonly facts?: Facts;
    readonly columns?: readonly string[];
    readonly constraints?: readonly string[];
    readonly indexes?: readonly string[];
  },
): SchemaObject {
  return {
    kind,
    name,
    facts,
    parts: [
      ...columns.map(columnOf),
      ...constraints.map(
        (definition, at): Part => ({
          kind: 'constraint',
          name: `c${at + 1}`,
          facts: { definition },
        }),
      ),
      ...indexes.map(
        (definition, at): Part => ({
          kind: 'index',
          name: `i${at + 1}`,
          facts: { definition },
        }),
      ),
    ],
  };
}

function columnOf(text: string): Part {
  const [, name = '', type = '', isNotNull] = /^("(?:[^"]|"")+"|\S+) (.+?)(!)?$/.exec(text) ?? [];
  return { kind: 'column', name, facts: { type, ...(isNotNull && { 'not null': true }) } };
}
