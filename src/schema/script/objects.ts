import type { SchemaObject } from '../snapshot/snapshot.ts';
import { commentStatement, firingWord, sequenceClauses } from './tables.ts';
import { block, leadingName, listOf, literal, optionsText, textOf } from './text.ts';

/** A new database has the schema public, with this comment. */
const commentOfPublic = 'standard public schema';

export function schemaStatements(schemas: readonly SchemaObject[]): readonly string[] {
  const isPublic = ({ name }: SchemaObject) => name === 'public';
  return [
    ...(schemas.some(isPublic) ? [] : ['DROP SCHEMA public;']),
    ...schemas.flatMap((schema) => {
      const { name, facts } = schema;
      if (!isPublic(schema)) {
        return [`CREATE SCHEMA ${name};`, ...commentStatement(`SCHEMA ${name}`, facts)];
      }
      if (facts.comment === commentOfPublic) return [];
      return facts.comment === undefined
        ? ['COMMENT ON SCHEMA public IS NULL;']
        : commentStatement('SCHEMA public', facts);
    }),
  ];
}

/** In the version that the server installs: another server may not have that of the snapshot. */
export function extensionStatements({ name, facts }: SchemaObject): readonly string[] {
  return [
    `CREATE EXTENSION IF NOT EXISTS ${name} WITH SCHEMA ${facts.schema}; -- version ${facts.version}`,
    ...commentStatement(`EXTENSION ${name}`, facts),
  ];
}

/** Why a script cannot make this type; undefined when it can. */
export function typeProblem({ facts }: SchemaObject): string | undefined {
  if (facts.kind === 'base') return 'its functions are in C';
  if (facts.canonical !== undefined) return 'its canonical function has to be there before it';
  return undefined;
}

export function typeStatements(object: SchemaObject): readonly string[] {
  const { name, facts } = object;
  if (typeProblem(object) !== undefined) return [];
  const isDomain = facts.kind === 'domain';
  const checks = listOf(facts, 'checks');
  return [
    `CREATE ${isDomain ? 'DOMAIN' : 'TYPE'} ${name} AS ${definitionOf(object)};`,
    ...checks.filter(isNotValid).map((check) => `ALTER DOMAIN ${name} ADD CONSTRAINT ${check};`),
    ...commentStatement(`${isDomain ? 'DOMAIN' : 'TYPE'} ${name}`, facts),
    ...listOf(facts, 'comments of checks').flatMap((line) => {
      const check = leadingName(line);
      const comment = line.slice(`${check}: `.length);
      return commentStatement(`CONSTRAINT ${check} ON DOMAIN ${name}`, { comment });
    }),
  ];
}

function definitionOf({ facts }: SchemaObject): string {
  if (facts.kind === 'enum') return `ENUM ${block(listOf(facts, 'labels').map(literal))}`;
  if (facts.kind === 'composite') return block(listOf(facts, 'attributes'));
  if (facts.kind === 'range') {
    const settings = [
      ['SUBTYPE', facts.subtype],
      ['SUBTYPE_OPCLASS', facts['operator class']],
      ['COLLATION', facts['range collation']],
      ['SUBTYPE_DIFF', facts.difference],
    ] as const;
    return `RANGE ${block(settings.flatMap(([word, value]) => (value === undefined ? [] : [`${word} = ${value}`])))}`;
  }
  const checks = listOf(facts, 'checks').filter((check) => !isNotValid(check));
  return [
    textOf(facts, 'of'),
    ...(facts.collation === undefined ? [] : [`COLLATE ${facts.collation}`]),
    ...(facts.default === undefined ? [] : [`DEFAULT ${facts.default}`]),
    ...(facts['not null'] ? ['NOT NULL'] : []),
  ]
    .join(' ')
    .concat(...checks.map((check) => `\n    CONSTRAINT ${check}`));
}

function isNotValid(check: string): boolean {
  return check.endsWith(' NOT VALID');
}

export function sequenceStatements({ name, facts }: SchemaObject): readonly string[] {
  const type = textOf(facts, 'type');
  const clauses = [...(type === undefined ? [] : [`AS ${type}`]), ...sequenceClauses(facts)];
  return [
    `CREATE SEQUENCE ${[name, ...clauses].join(' ')};`,
    ...commentStatement(`SEQUENCE ${name}`, facts),
  ];
}

export function sequenceOwner({ name, facts }: SchemaObject): readonly string[] {
  const owner = textOf(facts, 'owned by');
  return owner === undefined ? [] : [`ALTER SEQUENCE ${name} OWNED BY ${owner};`];
}

/** `definition` is CREATE FUNCTION as the server writes it; an aggregate has none. */
export function functionStatements(
  object: SchemaObject,
  definition: string | undefined,
): readonly string[] {
  const created =
    definition === undefined
      ? createAggregate(object)
      : `${definition.replace(/^CREATE OR REPLACE /, 'CREATE ').trimEnd()};`;
  return [created, ...commentStatement(routineName(object), object.facts)];
}

/** `FUNCTION public.twice(x integer)`, as statements about it name it. */
export function routineName({ name, facts }: SchemaObject): string {
  const { kind } = facts;
  if (kind === 'procedure') return `PROCEDURE ${name}`;
  return kind === 'aggregate' ? `AGGREGATE ${aggregateName(name)}` : `FUNCTION ${name}`;
}

/** An aggregate without arguments is written with a star. */
function aggregateName(name: string): string {
  return name.endsWith('()') ? `${name.slice(0, -1)}*)` : name;
}

type Clause = readonly [prefix: string, clause: string];

const aggregateClauses: readonly Clause[] = [
  ['step', 'SFUNC'],
  ['state', 'STYPE'],
  ['space', 'SSPACE'],
  ['final', 'FINALFUNC'],
  ['combine', 'COMBINEFUNC'],
  ['serialize', 'SERIALFUNC'],
  ['deserialize', 'DESERIALFUNC'],
  ['moving step', 'MSFUNC'],
  ['moving back', 'MINVFUNC'],
  ['moving state', 'MSTYPE'],
  ['moving space', 'MSSPACE'],
  ['moving final', 'MFINALFUNC'],
];

const finalModify: Readonly<Record<string, string>> = {
  r: 'READ_ONLY',
  s: 'SHAREABLE',
  w: 'READ_WRITE',
};

function createAggregate({ name, facts }: SchemaObject): string {
  const given = listOf(facts, 'aggregate');
  const lines = given.map((each) => aggregateLine(each));
  const parallel = textOf(facts, 'parallel');
  const all = [
    ...lines,
    ...(parallel === undefined ? [] : [`PARALLEL = ${parallel.toUpperCase()}`]),
  ];
  return `CREATE AGGREGATE ${aggregateName(name)} ${block(all)};`;
}

function aggregateLine(fact: string): string {
  const [, moving = '', word, value = ''] =
    /^(moving )?(final extra|final modify|hypothetical|start|sort)(?: ([\s\S]*))?$/.exec(fact) ??
    [];
  const m = moving === '' ? '' : 'M';
  if (word === 'final extra') return `${m}FINALFUNC_EXTRA`;
  if (word === 'final modify') return `${m}FINALFUNC_MODIFY = ${finalModify[value]}`;
  if (word === 'hypothetical') return 'HYPOTHETICAL';
  if (word === 'start') return `${m}INITCOND = ${literal(value)}`;
  if (word === 'sort') return `SORTOP = OPERATOR(${value.replace(/\([\s\S]*$/, '')})`;
  const clause = aggregateClauses.findLast(([prefix]) => fact.startsWith(`${prefix} `));
  return clause ? `${clause[1]} = ${fact.slice(clause[0].length + 1)}` : fact;
}

const allEvents = 'insert, update, delete, truncate';

/** Of a table in `parents` ONLY itself: each of its children that is published stands beside it. */
export function publicationStatements(
  { name, facts }: SchemaObject,
  parents: ReadonlySet<string>,
): readonly string[] {
  const tables = listOf(facts, 'tables').map((table) => {
    const [, columns = '', where] =
      /^( \([^)]*\))?(?: where ([\s\S]*))?$/.exec(table.slice(leadingName(table).length)) ?? [];
    return `${parents.has(leadingName(table)) ? 'ONLY ' : ''}${leadingName(table)}${columns}${where === undefined ? '' : ` WHERE ${where}`}`;
  });
  const schemas = listOf(facts, 'schemas');
  const events = listOf(facts, 'publishes').join(', ');
  const options = [
    ...(events === allEvents ? [] : [`publish=${events}`]),
    ...(facts['via root'] ? ['publish_via_partition_root=true'] : []),
  ];
  const content = [
    ...(tables.length === 0 ? [] : [`TABLE\n    ${tables.join(',\n    ')}`]),
    ...(schemas.length === 0 ? [] : [`TABLES IN SCHEMA ${schemas.join(', ')}`]),
  ];
  return [
    [
      `CREATE PUBLICATION ${name}`,
      ...(facts['all tables'] ? [' FOR ALL TABLES'] : []),
      ...(content.length === 0 ? [] : [` FOR ${content.join(', ')}`]),
      ...(options.length === 0 ? [] : [` WITH (${optionsText(options)})`]),
      ';',
    ].join(''),
    ...commentStatement(`PUBLICATION ${name}`, facts),
  ];
}

export function eventTriggerStatements({ name, facts }: SchemaObject): readonly string[] {
  const tags = listOf(facts, 'tags').map(literal);
  const word = firingWord(facts);
  return [
    [
      `CREATE EVENT TRIGGER ${name} ON ${facts.event}`,
      ...(tags.length === 0 ? [] : [`\n    WHEN TAG IN (${tags.join(', ')})`]),
      `\n    EXECUTE FUNCTION ${facts.function}();`,
    ].join(''),
    ...(word === undefined ? [] : [`ALTER EVENT TRIGGER ${name} ${word};`]),
    ...commentStatement(`EVENT TRIGGER ${name}`, facts),
  ];
}
