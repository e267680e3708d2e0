import type { Facts, Part, PartKind, SchemaObject } from '../snapshot/snapshot.ts';
import { partKey } from './order.ts';
import { type Attachment, keyOf } from './source.ts';
import {
  block,
  foreignOptions,
  leadingName,
  listOf,
  literal,
  optionsText,
  partsOfName,
  quote,
  schemaOf,
  textOf,
} from './text.ts';

export interface TableContext {
  readonly tables: ReadonlyMap<string, SchemaObject>;
  readonly late: ReadonlySet<string>;
}

/** CREATE TABLE, the settings of its columns, and the comments of both. `ownParts` is the rest of the table. */
export function tableStatements(table: SchemaObject, context: TableContext): readonly string[] {
  return [
    createTable(table, context),
    ...attachTable(table, context),
    ...columnStatements(table, context),
    ...commentOn(table),
  ];
}

/** Indexes, statistics and constraints below CREATE TABLE, without those that need a later object. */
export function ownParts(table: SchemaObject, { late }: TableContext): readonly string[] {
  const own = (part: Part) => !late.has(partKey(keyOf(table), `${part.kind} ${part.name}`));
  return [
    ...partsOf(table, 'constraint').flatMap((part) =>
      isThere(part, table) && own(part) ? commentOnPart(part, table) : [],
    ),
    ...laterChecks(table)
      .filter(own)
      .flatMap((part) => addConstraint(part, table)),
    ...indexesOf(table)
      .filter(own)
      .flatMap((part) => indexStatements(part, table)),
    ...partsOf(table, 'statistics')
      .filter(own)
      .flatMap((part) => madeByDefinition(part, table)),
  ];
}

/** Defaults, CHECK constraints, indexes and statistics that need an object which itself needs the table. */
export function lateParts(table: SchemaObject, { late }: TableContext): readonly string[] {
  const isLate = (part: Part, word: string = part.kind) =>
    late.has(partKey(keyOf(table), `${word} ${part.name}`));
  return [
    ...partsOf(table, 'column').flatMap((part) => {
      const value = isLate(part, 'default') ? textOf(part.facts, 'default') : undefined;
      return value === undefined ? [] : [setDefault(part, { table, value })];
    }),
    ...partsOf(table, 'constraint')
      .filter((part) => isCheck(part) && isLate(part) && !part.facts.inherited)
      .flatMap((part) => addConstraint(part, table)),
    ...indexesOf(table)
      .filter((part) => isLate(part))
      .flatMap((part) => indexStatements(part, table)),
    ...partsOf(table, 'statistics')
      .filter((part) => isLate(part))
      .flatMap((part) => madeByDefinition(part, table)),
  ];
}

/** Keys and indexes of partitioned tables: each alone, then together, so that all have the names of the snapshot. */
export function partitionedKeys(
  tables: readonly SchemaObject[],
  attachments: readonly Attachment[],
): readonly string[] {
  const partitioned = tables.filter(isPartitioned);
  return [
    ...partitioned.flatMap((table) => [
      ...partsOf(table, 'constraint')
        .filter(isKey)
        .flatMap((part) => addConstraint(part, table, 'ONLY ')),
      ...partsOf(table, 'index').flatMap((part) => indexStatements(part, table)),
    ]),
    ...attachments.map(({ index, to }) => `ALTER INDEX ${to} ATTACH PARTITION ${index};`),
  ];
}

export function foreignKeys(table: SchemaObject): readonly string[] {
  return partsOf(table, 'constraint')
    .filter(isForeignKey)
    .flatMap((part) =>
      part.facts.inherited ? commentOnPart(part, table) : addConstraint(part, table),
    );
}

/** Which rows and order of rows replication and CLUSTER go by. */
export function tableSettings(table: SchemaObject): readonly string[] {
  const { name, facts } = table;
  const identity = textOf(facts, 'replica identity');
  const index = identity?.startsWith('index ') ? partsOfName(identity.slice(6)).at(-1) : undefined;
  return [
    ...(identity === undefined
      ? []
      : [
          `ALTER TABLE ${name} REPLICA IDENTITY ${index ? `USING INDEX ${index}` : identity.toUpperCase()};`,
        ]),
    ...partsOf(table, 'index')
      .filter((part) => part.facts.clustered)
      .map((part) => `ALTER TABLE ${name} CLUSTER ON ${part.name};`),
  ];
}

export function rules(table: SchemaObject): readonly string[] {
  return partsOf(table, 'rule').flatMap((part) => [
    String(part.facts.definition),
    ...firing(part, table),
    ...commentOnPart(part, table),
  ]);
}

export function triggers(table: SchemaObject): readonly string[] {
  return partsOf(table, 'trigger').flatMap((part) => [
    ...(part.facts.inherited ? [] : [`${textOf(part.facts, 'definition')};`]),
    ...firing(part, table),
    ...commentOnPart(part, table),
  ]);
}

/** Policies of row security, and whether it is on. */
export function rowSecurity(table: SchemaObject): readonly string[] {
  const { name, facts } = table;
  const state = textOf(facts, 'row security');
  return [
    ...(state === undefined ? [] : [`ALTER TABLE ${name} ENABLE ROW LEVEL SECURITY;`]),
    ...(state === 'forced' ? [`ALTER TABLE ${name} FORCE ROW LEVEL SECURITY;`] : []),
    ...partsOf(table, 'policy').flatMap((part) => [
      createPolicy(part, table),
      ...commentOnPart(part, table),
    ]),
  ];
}

/** Of a view or a table: CREATE INDEX, unless the index belongs to a constraint or is invalid. */
export function indexStatements(part: Part, table: SchemaObject): readonly string[] {
  const { invalid, definition } = part.facts;
  if (typeof definition === 'string' && invalid && !isPartitioned(table)) return [];
  return [
    ...(typeof definition === 'string' ? [`${definition};`] : []),
    ...commentOnPart(part, table),
  ];
}

export function partsOf({ parts }: SchemaObject, kind: PartKind): readonly Part[] {
  return parts.filter((part) => part.kind === kind);
}

export function isPartitioned({ facts }: SchemaObject): boolean {
  return facts['partition of'] !== undefined || facts['partition key'] !== undefined;
}

/** A table whose inherited columns do not come first: it is made on its own, and inherits afterwards. */
export function isJoinedLater(table: SchemaObject, { tables }: TableContext): boolean {
  const columns = partsOf(table, 'column').map(({ name }) => name);
  const parents = parentsOf(table).flatMap((name) => {
    const parent = tables.get(name);
    return parent ? partsOf(parent, 'column').map((part) => part.name) : [];
  });
  const expected = [...new Set([...parents, ...columns])];
  return parentsOf(table).length > 0 && columns.join('\n') !== expected.join('\n');
}

function parentsOf({ facts }: SchemaObject): readonly string[] {
  const partitioned = textOf(facts, 'partition of');
  return partitioned === undefined ? listOf(facts, 'inherits') : [partitioned];
}

function createTable(table: SchemaObject, context: TableContext): string {
  const { name, facts } = table;
  const isAlone = isJoinedLater(table, context);
  const parent = isAlone ? undefined : textOf(facts, 'partition of');
  const lines = [
    ...partsOf(table, 'column')
      .filter((part) => isAlone || (parent === undefined && !part.facts.inherited))
      .map((part) => columnLine(part, { table, ...context })),
    ...partsOf(table, 'constraint')
      .filter((part) => isInline(part, table) || (isAlone && part.facts.inherited && isCheck(part)))
      .filter((part) => !context.late.has(partKey(keyOf(table), `constraint ${part.name}`)))
      .map((part) => `CONSTRAINT ${part.name} ${textOf(part.facts, 'definition')}`),
  ];
  const inherited = isAlone ? [] : listOf(facts, 'inherits');
  const server = textOf(facts, 'server');
  const key = textOf(facts, 'partition key');
  const options = listOf(facts, 'options');
  const kind =
    server === undefined ? (facts.unlogged ? 'UNLOGGED TABLE' : 'TABLE') : 'FOREIGN TABLE';
  return [
    `CREATE ${kind} ${name}`,
    ...(parent === undefined ? [] : [` PARTITION OF ${parent}`]),
    ...(parent !== undefined && lines.length === 0 ? [] : [` ${block(lines)}`]),
    ...(parent === undefined ? [] : [` ${textOf(facts, 'bound')}`]),
    ...(inherited.length === 0 ? [] : [` INHERITS (${inherited.join(', ')})`]),
    ...(server === undefined
      ? []
      : [` SERVER ${quote(server)}${foreignOptions(listOf(facts, 'server options'))}`]),
    ...(key === undefined ? [] : [` PARTITION BY ${key}`]),
    ...(options.length === 0 ? [] : [` WITH (${optionsText(options)})`]),
    ';',
  ].join('');
}

function attachTable(table: SchemaObject, context: TableContext): readonly string[] {
  if (!isJoinedLater(table, context)) return [];
  const { name, facts } = table;
  return facts['partition of'] === undefined
    ? listOf(facts, 'inherits').map((parent) => `ALTER TABLE ${name} INHERIT ${parent};`)
    : [`ALTER TABLE ${facts['partition of']} ATTACH PARTITION ${name} ${textOf(facts, 'bound')};`];
}

function columnLine(
  { name, facts }: Part,
  { table, late }: { readonly table: SchemaObject } & TableContext,
): string {
  const { collation, compression, identity, generated, default: value } = facts;
  const isLater = late.has(partKey(keyOf(table), `default ${name}`));
  return [
    `${name} ${facts.type}${foreignOptions(listOf(facts, 'server options'))}`,
    ...(collation === undefined ? [] : [`COLLATE ${collation}`]),
    ...(compression === undefined ? [] : [`COMPRESSION ${compression}`]),
    ...(generated === undefined
      ? []
      : [`GENERATED ALWAYS AS (${generated}) ${facts.virtual ? 'VIRTUAL' : 'STORED'}`]),
    ...(typeof identity === 'string'
      ? [
          `GENERATED ${identity.toUpperCase()} AS IDENTITY${identitySequence(listOf(facts, 'identity sequence'))}`,
        ]
      : []),
    ...(value === undefined || isLater ? [] : [`DEFAULT ${value}`]),
    ...(facts['not null'] ? ['NOT NULL'] : []),
  ].join(' ');
}

function identitySequence(settings: readonly string[]): string {
  const facts = Object.fromEntries(
    settings.map((each) => {
      const [word = '', value] = each.split(' ');
      return [word, value ?? true];
    }),
  );
  const written = sequenceClauses(facts);
  return written.length === 0 ? '' : ` (${written.join(' ')})`;
}

/**
 * The clauses of CREATE SEQUENCE. The usual values are those of an ascending sequence from 1; where PostgreSQL would take
 * others, they are written.
 */
export function sequenceClauses(facts: Facts): readonly string[] {
  const { increment, least, most, start, cache, type } = facts;
  const isDescending = typeof increment === 'string' && increment.startsWith('-');
  const highest =
    type === 'smallint' ? '32767' : type === 'integer' ? '2147483647' : '9223372036854775807';
  const values = [
    ['INCREMENT BY', increment],
    ['MINVALUE', least ?? (isDescending ? '1' : undefined)],
    ['MAXVALUE', most ?? (isDescending ? highest : undefined)],
    ['START WITH', start ?? (isDescending || least !== undefined ? '1' : undefined)],
    ['CACHE', cache],
  ] as const;
  return [
    ...values.flatMap(([word, value]) => (value === undefined ? [] : [`${word} ${value}`])),
    ...(facts.cycles ? ['CYCLE'] : []),
  ];
}

/** What CREATE TABLE does not say of columns, and where a child differs from its parent. */
function columnStatements(table: SchemaObject, context: TableContext): readonly string[] {
  const isAlone = isJoinedLater(table, context);
  const parents = isAlone ? [] : parentsOf(table).flatMap((name) => context.tables.get(name) ?? []);
  return partsOf(table, 'column').flatMap((part) => {
    const { facts, name } = part;
    const inherited = parents
      .flatMap((parent) => partsOf(parent, 'column'))
      .find((each) => each.name === name)?.facts;
    const changes = [
      ...inheritedChanges(facts, inherited),
      ...storageChanges(facts, inherited),
      ...(facts['statistics target'] === undefined
        ? []
        : [`SET STATISTICS ${facts['statistics target']}`]),
      ...(listOf(facts, 'options').length === 0
        ? []
        : [`SET (${optionsText(listOf(facts, 'options'))})`]),
    ];
    return changes.map((change) => `ALTER TABLE ${table.name} ALTER COLUMN ${name} ${change};`);
  });
}

function inheritedChanges(facts: Facts, inherited: Facts | undefined): readonly string[] {
  if (!inherited) return [];
  const { default: value } = facts;
  // Its own definition says the rest.
  if (!facts.inherited) {
    return value === undefined && inherited.default !== undefined ? ['DROP DEFAULT'] : [];
  }
  return [
    ...(value === inherited.default
      ? []
      : [value === undefined ? 'DROP DEFAULT' : `SET DEFAULT ${value}`]),
    ...(facts['not null'] && !inherited['not null'] ? ['SET NOT NULL'] : []),
    ...(!facts['not null'] && inherited['not null'] ? ['DROP NOT NULL'] : []),
    ...(facts.compression === inherited.compression
      ? []
      : [`SET COMPRESSION ${facts.compression ?? 'default'}`]),
  ];
}

function storageChanges(facts: Facts, inherited: Facts | undefined): readonly string[] {
  const storage = textOf(facts, 'storage');
  return storage === undefined || storage === inherited?.storage
    ? []
    : [`SET STORAGE ${storage.toUpperCase()}`];
}

function setDefault(
  { name }: Part,
  { table, value }: { readonly table: SchemaObject; readonly value: string },
): string {
  return `ALTER TABLE ${table.name} ALTER COLUMN ${name} SET DEFAULT ${value};`;
}

function isCheck({ facts }: Part): boolean {
  return !isKey({ facts }) && !isForeignKey({ facts });
}

function isKey({ facts }: Pick<Part, 'facts'>): boolean {
  return /^(?:PRIMARY KEY|UNIQUE|EXCLUDE)\b/.test(textOf(facts, 'definition') ?? '');
}

function isForeignKey({ facts }: Pick<Part, 'facts'>): boolean {
  return textOf(facts, 'definition')?.startsWith('FOREIGN KEY') ?? false;
}

function isNotValid({ facts }: Part): boolean {
  return textOf(facts, 'definition')?.endsWith(' NOT VALID') ?? false;
}

/** It stands within CREATE TABLE. */
function isInline(part: Part, table: SchemaObject): boolean {
  if (part.facts.inherited || isForeignKey(part) || isNotValid(part)) return false;
  return !(isKey(part) && isPartitioned(table));
}

/** CREATE TABLE has made it: as its own, or from a parent. */
function isThere(part: Part, table: SchemaObject): boolean {
  return isInline(part, table) || (part.facts.inherited === true && isCheck(part));
}

/** CREATE TABLE would take a NOT VALID constraint for a valid one, because the table has no rows. */
function laterChecks(table: SchemaObject): readonly Part[] {
  return partsOf(table, 'constraint').filter(
    (part) => isCheck(part) && isNotValid(part) && !part.facts.inherited,
  );
}

function indexesOf(table: SchemaObject): readonly Part[] {
  return isPartitioned(table) ? [] : partsOf(table, 'index');
}

function addConstraint(part: Part, table: SchemaObject, only = ''): readonly string[] {
  const definition = textOf(part.facts, 'definition');
  return [
    `ALTER TABLE ${only}${table.name} ADD CONSTRAINT ${part.name} ${definition};`,
    ...commentOnPart(part, table),
  ];
}

function madeByDefinition(part: Part, table: SchemaObject): readonly string[] {
  return [`${textOf(part.facts, 'definition')};`, ...commentOnPart(part, table)];
}

const firingWords: Readonly<Record<string, string>> = {
  disabled: 'DISABLE',
  'on replicas': 'ENABLE REPLICA',
  always: 'ENABLE ALWAYS',
};

function firing({ kind, name, facts }: Part, table: SchemaObject): readonly string[] {
  const word = firingWords[textOf(facts, 'firing') ?? ''];
  return word === undefined
    ? []
    : [`ALTER TABLE ${table.name} ${word} ${kind.toUpperCase()} ${name};`];
}

/** How an event trigger is set to fire. */
export function firingWord(facts: Facts): string | undefined {
  return firingWords[textOf(facts, 'firing') ?? ''];
}

function createPolicy({ name, facts }: Part, table: SchemaObject): string {
  const using = textOf(facts, 'using');
  const check = textOf(facts, 'check');
  const roles = listOf(facts, 'roles').map((role) => (role === 'public' ? 'PUBLIC' : role));
  return [
    `CREATE POLICY ${name} ON ${table.name}`,
    ...(facts.restrictive ? [' AS RESTRICTIVE'] : []),
    ` FOR ${textOf(facts, 'command')?.toUpperCase()} TO ${roles.join(', ')}`,
    ...(using === undefined ? [] : [`\n    USING (${using})`]),
    ...(check === undefined ? [] : [`\n    WITH CHECK (${check})`]),
    ';',
  ].join('');
}

/** COMMENT ON a table or a view, and on its columns. */
export function commentOn(relation: SchemaObject): readonly string[] {
  const { name, facts } = relation;
  return [
    ...commentStatement(`${relationWord(relation)} ${name}`, facts),
    ...partsOf(relation, 'column').flatMap((part) =>
      commentStatement(`COLUMN ${name}.${part.name}`, part.facts),
    ),
  ];
}

/** What SQL calls it. A continuous aggregate is a view there. */
export function relationWord({ kind, facts }: SchemaObject): string {
  if (facts.kind === 'foreign table') return 'FOREIGN TABLE';
  if (facts.kind === 'materialized view') return 'MATERIALIZED VIEW';
  return kind.toUpperCase();
}

export function commentStatement(object: string, { comment }: Facts): readonly string[] {
  return typeof comment === 'string' ? [`COMMENT ON ${object} IS ${literal(comment)};`] : [];
}

function commentOnPart(part: Part, table: SchemaObject): readonly string[] {
  const { kind, name, facts } = part;
  if (kind === 'column') return [];
  const own = `${kind.toUpperCase()} ${name} ON ${table.name}`;
  // The index of a continuous aggregate belongs to its table within TimescaleDB.
  const schema =
    table.facts.kind === 'continuous aggregate' ? '_timescaledb_internal' : schemaOf(table.name);
  const objects = {
    constraint: own,
    trigger: own,
    rule: own,
    policy: own,
    index: `INDEX ${schema}.${name}`,
    statistics: `STATISTICS ${leadingName((textOf(facts, 'definition') ?? '').replace('CREATE STATISTICS ', ''))}`,
  };
  return commentStatement(objects[kind], facts);
}
