import type { StatementNode } from '../sql/parse.ts';
import { asNode, nodes, type SyntaxNode, stringOf, typed } from '../sql/tree.ts';

/** Views are tables here. */
export type ObjectKind = 'table' | 'sequence' | 'index' | 'type' | 'function' | 'schema';

/** A lasting object of a database, as a file names it. */
export interface ObjectName {
  readonly kind: ObjectKind;
  /** Undefined where the search path that the file sets decides; that of a run begins with `public`. */
  readonly schema: string | undefined;
  readonly name: string;
}

/** What a statement does to the objects of a database, as far as its text says. */
export type Effect =
  | {
      readonly effect: 'creates';
      readonly object: ObjectName;
      /** IF NOT EXISTS, OR REPLACE. */
      readonly mayExist: boolean;
      /** Of an index. */
      readonly table?: ObjectName;
      /** Of a function: the types of its arguments, as SQL. */
      readonly argumentTypes?: readonly string[];
    }
  | { readonly effect: 'rebuilds'; readonly object: ObjectName }
  | { readonly effect: 'drops'; readonly object: ObjectName }
  | { readonly effect: 'renames'; readonly object: ObjectName; readonly to: ObjectName }
  /** A DO block or a function's body that may drop, rename or move something. */
  | { readonly effect: 'runs'; readonly code: string };

/** An object that stands after effects. */
export interface StandingObject<T> {
  readonly object: ObjectName;
  /** Of an index that was created. */
  readonly table?: ObjectName | undefined;
  readonly by: T;
  /** No code may have dropped, renamed or moved it. */
  readonly isCertain: boolean;
}

/** The effects of a file's statements, in order. */
export function effectsOf(
  statements: readonly { readonly text: string; readonly node: StatementNode }[],
): readonly Effect[] {
  const path = searchPathOf(statements);
  return statements.flatMap(({ node }) => effectsOfStatement(node, path));
}

/** The schema of a name without one; undefined where the file sets a path. */
export function searchPathOf(
  statements: readonly { readonly text: string; readonly node: StatementNode }[],
): string | undefined {
  return statements.some(setsPath) ? undefined : 'public';
}

/** The objects that the effects have created or rebuilt, under the names that they have at the end. */
export function objectsAfter<T>(
  steps: readonly { readonly by: T; readonly effects: readonly Effect[] }[],
): readonly StandingObject<T>[] {
  return steps.reduce<readonly StandingObject<T>[]>(
    (standing, { by, effects }) =>
      effects.reduce((objects, effect) => followEffect(objects, effect, by), standing),
    [],
  );
}

/** The objects that stand after one more effect. */
export function followEffect<T>(
  objects: readonly StandingObject<T>[],
  effect: Effect,
  by: T,
): readonly StandingObject<T>[] {
  switch (effect.effect) {
    case 'creates': {
      const { object, table } = effect;
      const others = objects.filter((other) => !isSame(other.object, object));
      return [...others, { object, table, by, isCertain: true }];
    }
    case 'rebuilds': {
      const { object } = effect;
      const isKnown = objects.some((other) => isSame(other.object, object));
      return isKnown ? objects : [...objects, { object, by, isCertain: true }];
    }
    case 'drops':
      return objects.filter((other) => !isPartOf(other, effect.object));
    case 'renames':
      return objects.map((other) => renamed(other, effect));
    case 'runs':
      return objects.map((other) =>
        mayRemove(effect.code, other.object) ? { ...other, isCertain: false } : other,
      );
    default:
      return effect satisfies never;
  }
}

/** True where the names may mean one object. */
export function isSame(one: ObjectName, other: ObjectName): boolean {
  return one.kind === other.kind && one.name === other.name && isSameSchema(one, other.schema);
}

function isSameSchema({ schema }: ObjectName, other: string | undefined): boolean {
  return schema === undefined || other === undefined || schema === other;
}

/** True for the object itself, what is in the schema, and the index of the table. */
export function isPartOf(
  { object, table }: Pick<StandingObject<unknown>, 'object' | 'table'>,
  whole: ObjectName,
): boolean {
  if (isSame(object, whole) || (table && isSame(table, whole))) return true;
  return whole.kind === 'schema' && object.schema === whole.name;
}

/** An index goes to another schema with its table, and everything in a schema has the schema's new name. */
function renamed<T>(
  standing: StandingObject<T>,
  { object: from, to }: Extract<Effect, { effect: 'renames' }>,
): StandingObject<T> {
  const { object, table } = standing;
  if (isSame(object, from)) return { ...standing, object: to };
  if (!isPartOf(standing, from)) return standing;
  const schema = from.kind === 'schema' ? to.name : to.schema;
  const newTable = table && (isSame(table, from) ? to : { ...table, schema });
  return { ...standing, object: { ...object, schema }, table: newTable };
}

/** True for code that may drop, rename or move an object of that name. */
export function mayRemove(code: string, { name }: ObjectName): boolean {
  return removingWord.test(code) && (code.includes(name) || /\bexecute\b/i.test(code));
}

const removingWord = /\b(?:drop|rename|set\s+schema)\b/i;

function setsPath({ text, node: { type, body } }: { text: string; node: StatementNode }): boolean {
  if (type === 'VariableSetStmt') return body.name === 'search_path';
  return ['SelectStmt', 'DoStmt', 'CallStmt'].includes(type) && /\bsearch_path\b/i.test(text);
}

/** The effects of a statement, where `path` is the schema of a name without one. */
export function effectsOfStatement(
  node: StatementNode,
  path: string | undefined,
): readonly Effect[] {
  const { type, body } = node;
  switch (type) {
    case 'IndexStmt': {
      const table = ofRelation('table', body.relation, path);
      if (body.idxname === undefined || !table) return [];
      const object = { ...table, kind: 'index', name: String(body.idxname) } as const;
      return [{ effect: 'creates', object, table, mayExist: body.if_not_exists === true }];
    }
    case 'ReindexStmt': {
      const isIndex = body.kind === 'REINDEX_OBJECT_INDEX';
      const object = isIndex ? ofRelation('index', body.relation, path) : undefined;
      return object ? [{ effect: 'rebuilds', object }] : [];
    }
    case 'CreateSchemaStmt':
      return [
        ...creates(objectNamed('schema', [String(body.schemaname ?? '')], undefined), body),
        ...nodes(body.schemaElts).flatMap((element) =>
          effectsOfStatement(typed(element), String(body.schemaname ?? '')),
        ),
      ];
    case 'CompositeTypeStmt':
      return creates(ofRelation('type', body.typevar, path), body);
    case 'CreateEnumStmt':
    case 'CreateRangeStmt':
      return creates(objectNamed('type', textsOf(body.typeName), path), body);
    case 'CreateDomainStmt':
      return creates(objectNamed('type', textsOf(body.domainname), path), body);
    case 'CreateFunctionStmt':
      return [...createsFunction(body, path), ...runs(body.options)];
    case 'DoStmt':
      return runs(body.args);
    case 'DropStmt':
      return nodes(body.objects).flatMap((object): Effect[] => {
        const dropped = ofObject(body.removeType, object, path);
        return dropped ? [{ effect: 'drops', object: dropped }] : [];
      });
    case 'RenameStmt': {
      const object = changedBy(body.renameType, body, path);
      return object
        ? [{ effect: 'renames', object, to: { ...object, name: String(body.newname) } }]
        : [];
    }
    case 'AlterObjectSchemaStmt': {
      const object = changedBy(body.objectType, body, path);
      return object
        ? [{ effect: 'renames', object, to: { ...object, schema: String(body.newschema) } }]
        : [];
    }
    default: {
      const kind = type === 'CreateSeqStmt' ? 'sequence' : 'table';
      const relation = type === 'SelectStmt' ? intoOf(body) : newRelation(node);
      return creates(ofRelation(kind, relation, path), body);
    }
  }
}

function creates(object: ObjectName | undefined, body: SyntaxNode): readonly Effect[] {
  const mayExist = body.if_not_exists === true || body.replace === true;
  return object ? [{ effect: 'creates', object, mayExist }] : [];
}

function createsFunction(body: SyntaxNode, path: string | undefined): readonly Effect[] {
  const object = objectNamed('function', textsOf(body.funcname), path);
  const parameters = nodes(body.parameters)
    .map((parameter) => asNode(parameter.FunctionParameter))
    .filter(({ mode }) => !['FUNC_PARAM_OUT', 'FUNC_PARAM_TABLE'].includes(String(mode)));
  const argumentTypes = parameters.map(({ argType }) => typeName(asNode(argType)));
  return object
    ? [{ effect: 'creates', object, mayExist: body.replace === true, argumentTypes }]
    : [];
}

function typeName({ names, arrayBounds }: SyntaxNode): string {
  const quoted = textsOf(names).map((name) => `"${name.replaceAll('"', '""')}"`);
  return `${quoted.join('.')}${nodes(arrayBounds).length > 0 ? '[]' : ''}`;
}

/** The code in the options of a DO block or a function. */
function runs(options: unknown): readonly Effect[] {
  return nodes(options).flatMap((option): Effect[] => {
    const { defname, arg } = asNode(option.DefElem);
    if (defname !== 'as') return [];
    const { items } = asNode(asNode(arg).List);
    const code = [asNode(arg), ...nodes(items)].map(stringOf).join('\n');
    return removingWord.test(code) ? [{ effect: 'runs', code }] : [];
  });
}

/** The relation that a CREATE statement makes; undefined for any other statement. */
function newRelation({ type, body }: StatementNode): unknown {
  switch (type) {
    case 'CreateStmt':
      return body.relation;
    case 'CreateForeignTableStmt':
      return asNode(body.base).relation;
    case 'CreateTableAsStmt':
      return asNode(body.into).rel;
    case 'ViewStmt':
      return body.view;
    case 'CreateSeqStmt':
      return body.sequence;
    default:
      return undefined;
  }
}

/** SELECT … INTO of a UNION stands in its first SELECT. */
function intoOf({ larg, intoClause }: SyntaxNode): unknown {
  return larg === undefined ? asNode(intoClause).rel : intoOf(asNode(larg));
}

const kinds: Readonly<Record<string, ObjectKind>> = {
  OBJECT_TABLE: 'table',
  OBJECT_VIEW: 'table',
  OBJECT_MATVIEW: 'table',
  OBJECT_FOREIGN_TABLE: 'table',
  OBJECT_SEQUENCE: 'sequence',
  OBJECT_INDEX: 'index',
  OBJECT_TYPE: 'type',
  OBJECT_DOMAIN: 'type',
  OBJECT_FUNCTION: 'function',
  OBJECT_PROCEDURE: 'function',
  OBJECT_ROUTINE: 'function',
  OBJECT_SCHEMA: 'schema',
};

/** The kind of an object, by the name of its type in the grammar. */
export function kindOf(objectType: unknown): ObjectKind | undefined {
  return kinds[String(objectType)];
}

/** The object of ALTER … RENAME and ALTER … SET SCHEMA. */
function changedBy(
  objectType: unknown,
  { relation, object, subname }: SyntaxNode,
  path: string | undefined,
): ObjectName | undefined {
  const kind = kinds[String(objectType)];
  if (!kind) return undefined;
  if (kind === 'schema') return objectNamed(kind, [String(subname)], undefined);
  return relation === undefined
    ? ofObject(objectType, asNode(object), path)
    : ofRelation(kind, relation, path);
}

function ofObject(
  objectType: unknown,
  object: SyntaxNode,
  path: string | undefined,
): ObjectName | undefined {
  const kind = kinds[String(objectType)];
  const { List, TypeName, ObjectWithArgs } = object;
  const names = asNode(List).items ??
    asNode(TypeName).names ??
    asNode(ObjectWithArgs).objname ?? [object];
  return kind && objectNamed(kind, textsOf(names), kind === 'schema' ? undefined : path);
}

/** Undefined for a temporary relation. */
export function ofRelation(
  kind: ObjectKind,
  relation: unknown,
  path: string | undefined,
): ObjectName | undefined {
  const { schemaname, relname, relpersistence } = asNode(relation);
  if (relpersistence === 't') return undefined;
  return objectNamed(
    kind,
    [schemaname, relname].filter((part) => typeof part === 'string'),
    path,
  );
}

/** Undefined for no name, and for that of a temporary object. */
export function objectNamed(
  kind: ObjectKind,
  parts: readonly string[],
  path: string | undefined,
): ObjectName | undefined {
  const name = parts.at(-1) ?? '';
  const schema = parts.at(-2) ?? path;
  const isLasting = name !== '' && !/^pg_temp(_\d+)?$/.test(schema ?? '');
  return isLasting ? { kind, schema, name } : undefined;
}

export function textsOf(names: unknown): readonly string[] {
  return nodes(names).map(stringOf);
}
