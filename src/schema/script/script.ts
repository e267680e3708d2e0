import type { ObjectKind, SchemaObject } from '../snapshot/snapshot.ts';
import {
  eventTriggerStatements,
  extensionStatements,
  functionStatements,
  publicationStatements,
  schemaStatements,
  sequenceOwner,
  sequenceStatements,
  typeProblem,
  typeStatements,
} from './objects.ts';
import { orderObjects } from './order.ts';
import { defaultPrivileges, grantStatements, ownerStatements } from './rights.ts';
import { type Dependency, keyOf, type LeftOut, type ScriptSource } from './source.ts';
import {
  foreignKeys,
  isJoinedLater,
  isPartitioned,
  lateParts,
  ownParts,
  partitionedKeys,
  partsOf,
  rowSecurity,
  rules,
  tableSettings,
  tableStatements,
  triggers,
} from './tables.ts';
import { listOf, remark, schemaOf, textOf, withoutVariables } from './text.ts';
import {
  chunkSettings,
  hypertableStatements,
  jobProblem,
  jobStatements,
  refreshesFirst,
} from './timescale.ts';
import { refresh, viewStatements } from './views.ts';

export interface Script {
  readonly text: string;
  /** What the script names in a comment at its head, and does not make. */
  readonly leftOut: readonly LeftOut[];
}

/** The script that makes an empty database have this schema. The same schema gives the same bytes. */
export function printScript(source: ScriptSource): Script {
  const leftOut = findLeftOut(source);
  const sections = sectionsOf(source).filter(({ statements }) => statements.length > 0);
  const body = sections.map(({ title, statements }) => `-- ${title}\n\n${spaced(statements)}`);
  const text = [head(leftOut), 'BEGIN;', settings, ...body, 'COMMIT;', ''].join('\n\n');
  return { text: withoutVariables(text.replace(/\n\n$/, '\n')), leftOut };
}

interface Section {
  readonly title: string;
  /** Those of one object together. */
  readonly statements: readonly (readonly string[])[];
}

/** Statements of one line stand together, an object with a longer one has an empty line before and after it. */
function spaced(groups: readonly (readonly string[])[]): string {
  let text = '';
  let wasLong = false;
  for (const group of groups) {
    const isLong = group.length > 1 || group.some((statement) => statement.includes('\n'));
    if (text !== '') text += isLong || wasLong ? '\n\n' : '\n';
    text += group.join('\n');
    wasLong = isLong;
  }
  return text;
}

function head(leftOut: readonly LeftOut[]): string {
  return [
    '-- The schema of a database. It has no rows.',
    '-- It makes an empty database have the same schema: psql -v ON_ERROR_STOP=1 -d DATABASE -f FILE',
    '-- The roles that it names have to be there.',
    ...(leftOut.length === 0 ? [] : ['--', '-- Left out:']),
    ...leftOut.map(({ object, reason }) => remark(`${object}: ${reason}`)),
  ].join('\n');
}

/**
 * Bodies of functions are not checked, because they may name objects that come later. Those without a search path of
 * their own find tables in public.
 */
const settings = [
  "SET LOCAL client_encoding = 'UTF8';",
  "SET LOCAL client_min_messages = 'error';",
  'SET LOCAL standard_conforming_strings = ON;',
  "SET LOCAL intervalstyle = 'postgres';",
  'SET LOCAL check_function_bodies = FALSE;',
  "SET LOCAL search_path = 'public';",
].join('\n');

const titles: Partial<Record<ObjectKind, string>> = {
  type: 'Types',
  sequence: 'Sequences',
  function: 'Functions',
  table: 'Tables',
  view: 'Views',
};

function sectionsOf(source: ScriptSource): readonly Section[] {
  const { snapshot, attachments } = source;
  const of = (kind: ObjectKind) => snapshot.objects.filter((object) => object.kind === kind);
  const made = snapshot.objects.filter(({ kind }) => titles[kind] !== undefined);
  const { objects, late } = orderObjects(made, dependenciesOf(source));
  const tables = new Map(of('table').map((table) => [table.name, table]));
  const parents = new Set(of('table').flatMap(({ facts }) => listOf(facts, 'inherits')));
  const relations = [...of('table'), ...of('view')];
  const timescale =
    textOf(of('extension').find(({ name }) => name === 'timescaledb')?.facts ?? {}, 'schema') ??
    'public';
  const print = (object: SchemaObject): readonly string[] => {
    if (object.kind === 'type') return typeStatements(object);
    if (object.kind === 'sequence') return sequenceStatements(object);
    if (object.kind === 'function') {
      return functionStatements(object, source.routines.get(object.name));
    }
    if (object.kind === 'view') return viewStatements(object, timescale);
    const context = { tables, late };
    return [
      ...tableStatements(object, context),
      ...hypertableStatements(object, timescale),
      ...ownParts(object, context),
    ];
  };
  const lastTable = objects.findLastIndex(({ kind }) => kind === 'table') + 1;
  const each = (
    title: string,
    given: readonly SchemaObject[],
    write: (object: SchemaObject) => readonly string[],
  ): Section => ({ title, statements: given.map(write).filter((group) => group.length > 0) });
  const eventTriggers = of('event trigger');
  const owned = snapshot.objects.filter(({ kind }) => kind !== 'event trigger');
  return [
    { title: 'Schemas', statements: schemaStatements(of('schema')).map((one) => [one]) },
    each('Extensions', of('extension'), extensionStatements),
    ...byKind(objects.slice(0, lastTable), print),
    {
      title: 'Keys and indexes of partitioned tables',
      statements: partitionedKeys(objects.slice(0, lastTable), attachments).map((one) => [one]),
    },
    ...byKind(objects.slice(lastTable), print),
    each('What needs an object that comes after its table', of('table'), (table) =>
      lateParts(table, { tables, late }),
    ),
    each('Owners of sequences', of('sequence'), sequenceOwner),
    each('Foreign keys', of('table'), foreignKeys),
    each('Replica identity and clustering', relations, tableSettings),
    each('Rules', relations, rules),
    each('Triggers', relations, triggers),
    each('Row security', of('table'), rowSecurity),
    each('Compression', relations, (relation) => chunkSettings(relation, timescale)),
    each('Materialized views that have been filled', objects, refresh),
    each('Publications', of('publication'), (object) => publicationStatements(object, parents)),
    each('Policies and jobs of TimescaleDB', [...of('job')].sort(refreshesFirst), (job) =>
      jobProblem(job) === undefined ? jobStatements(job, timescale) : [],
    ),
    each('Owners', owned, ownerStatements),
    each('Grants', snapshot.grants ? owned : [], grantStatements),
    each('Default privileges', of('database'), defaultPrivileges),
    each('Event triggers', eventTriggers, (object) => [
      ...eventTriggerStatements(object),
      ...ownerStatements(object),
    ]),
  ];
}

/** A section for each run of objects of one kind. */
function byKind(
  objects: readonly SchemaObject[],
  print: (object: SchemaObject) => readonly string[],
): readonly Section[] {
  const sections: { title: string; statements: (readonly string[])[] }[] = [];
  for (const object of objects) {
    const title = titles[object.kind] ?? '';
    const last = sections.at(-1);
    const statements = print(object);
    if (statements.length === 0) continue;
    if (last?.title === title) last.statements.push(statements);
    else sections.push({ title, statements: [statements] });
  }
  return sections;
}

/** With the functions that hypertables name in their settings. */
function dependenciesOf({ snapshot, dependencies }: ScriptSource): readonly Dependency[] {
  const functions = snapshot.objects.filter(({ kind }) => kind === 'function');
  const named = snapshot.objects.flatMap((object) => {
    const { hypertable, 'integer now': now } = object.facts;
    const used = [now, ...(Array.isArray(hypertable) ? hypertable.map(partitionedBy) : [])];
    return functions
      .filter(({ name }) => used.some((each) => each !== undefined && name.startsWith(`${each}(`)))
      .map((each) => ({ object: keyOf(object), part: null, on: keyOf(each) }));
  });
  return [...dependencies, ...named];
}

function partitionedBy(dimension: string): string | undefined {
  return / by ([\s\S]*)$/.exec(dimension)?.[1];
}

function findLeftOut({ snapshot, others }: ScriptSource): readonly LeftOut[] {
  const tables = new Map(
    snapshot.objects.filter(({ kind }) => kind === 'table').map((table) => [table.name, table]),
  );
  const context = { tables, late: new Set<string>() };
  const found = snapshot.objects.flatMap((object): readonly LeftOut[] => {
    const { kind } = object;
    const add = (reason: string | undefined) =>
      reason === undefined ? [] : [{ object: keyOf(object), reason }];
    if (kind === 'type') return add(typeProblem(object));
    if (kind === 'job') return add(jobProblem(object));
    if (kind !== 'table' && kind !== 'view') return [];
    return [
      ...partsOf(object, 'index')
        .filter(({ facts }) => facts.invalid && !isPartitioned(object))
        .map(({ name }) => ({
          object: `index ${schemaOf(object.name)}.${name}`,
          reason: 'it is invalid, and SQL makes valid ones only',
        })),
      ...partsOf(object, 'constraint')
        .filter(({ facts }) => facts.firing !== undefined)
        .map(({ name }) => ({
          object: `constraint ${name} on ${object.name}`,
          reason: 'its triggers do not fire as usual, and their names differ between databases',
        })),
      ...(kind === 'table' && isJoinedLater(object, context) && hasInherited(object)
        ? add('its inherited columns are made as columns of its own, to keep their order')
        : []),
    ];
  });
  return [...others.map((object) => ({ object, reason: 'a snapshot does not have it' })), ...found];
}

/** A partition has no columns of its own. */
function hasInherited(table: SchemaObject): boolean {
  return (
    table.facts['partition of'] === undefined &&
    partsOf(table, 'column').some(({ facts }) => facts.inherited)
  );
}
