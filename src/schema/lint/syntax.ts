import { quoteWhereNeeded } from '../../database/quote.ts';
import type { ParsedStatement, StatementNode } from '../../sql/parse.ts';
import {
  asNode,
  fieldsBelow,
  lastName,
  nodes,
  type SyntaxNode,
  stringOf,
  typed,
} from '../../sql/tree.ts';

/** A part of ALTER TABLE. */
export interface Command {
  /** PostgreSQL's own name without its prefix: `AddColumn`. */
  readonly kind: string;
  /** The column or constraint that it changes. */
  readonly name: string;
  readonly definition: StatementNode;
}

/** The parts of ALTER TABLE and of its like for views; empty for another statement. */
export function commandsOf({ type, body }: StatementNode): readonly Command[] {
  if (type !== 'AlterTableStmt') return [];
  return nodes(body.cmds).map((node) => {
    const { subtype, name, def } = asNode(node.AlterTableCmd);
    return {
      kind: String(subtype).replace(/^AT_/, ''),
      name: String(name ?? ''),
      definition: typed(def),
    };
  });
}

/** The type of a column, with the name that the grammar gives it: `int4` for `INT`. */
export interface ColumnType {
  readonly name: string;
  readonly modifiers: readonly number[];
  readonly isArray: boolean;
}

export interface ColumnDefinition {
  readonly name: string;
  readonly type: ColumnType;
  readonly constraints: readonly Constraint[];
  /** In bytes of the text that was parsed. */
  readonly location: number;
}

export interface Constraint {
  /** PostgreSQL's own name without its prefix: `PRIMARY`, `FOREIGN`, `NOTNULL`. */
  readonly kind: string;
  readonly name: string | undefined;
  /** The columns of a constraint of the table; empty for one that stands at a column. */
  readonly columns: readonly string[];
  readonly location: number;
  readonly body: SyntaxNode;
}

export function columnOf(node: SyntaxNode): ColumnDefinition {
  return {
    name: String(node.colname ?? ''),
    type: typeOf(asNode(node.typeName)),
    constraints: nodes(node.constraints).map((each) => constraintOf(asNode(each.Constraint))),
    location: Number(node.location ?? 0),
  };
}

function typeOf({ names, typmods, arrayBounds }: SyntaxNode): ColumnType {
  return {
    name: lastName(names),
    modifiers: nodes(typmods).map((each) => Number(asNode(asNode(each.A_Const).ival).ival ?? 0)),
    isArray: nodes(arrayBounds).length > 0,
  };
}

export function constraintOf(body: SyntaxNode): Constraint {
  const columns = [...nodes(body.keys), ...nodes(body.fk_attrs)].map(stringOf);
  return {
    kind: String(body.contype).replace(/^CONSTR_/, ''),
    name: body.conname === undefined ? undefined : String(body.conname),
    columns,
    location: Number(body.location ?? 0),
    body,
  };
}

/** The columns and constraints that CREATE TABLE defines. */
export function elementsOf({ body }: StatementNode): {
  readonly columns: readonly ColumnDefinition[];
  readonly constraints: readonly Constraint[];
} {
  const elements = nodes(body.tableElts).map(typed);
  return {
    columns: elements
      .filter(({ type }) => type === 'ColumnDef')
      .map((element) => columnOf(element.body)),
    constraints: elements
      .filter(({ type }) => type === 'Constraint')
      .map((element) => constraintOf(element.body)),
  };
}

/** The key of a table in the model. A name without a schema is one of `public`, which every run has first in its path. */
export function keyOf(relation: unknown): string {
  const { schemaname, relname } = asNode(relation);
  return keyOfNames([schemaname, relname].filter((part) => typeof part === 'string'));
}

export function keyOfNames(names: readonly string[]): string {
  return `${names.at(-2) ?? 'public'}.${names.at(-1) ?? ''}`;
}

/** The keys of the tables, views or indexes that DROP names. */
export function droppedKeys({ objects }: SyntaxNode): readonly string[] {
  return nodes(objects).map((object) => keyOfNames(nodes(asNode(object.List).items).map(stringOf)));
}

/** The key that RENAME TO gives. */
export function newKeyOf({ relation, newname }: SyntaxNode): string {
  const { schemaname = 'public' } = asNode(relation);
  return keyOfNames([String(schemaname), String(newname)]);
}

const relationKinds: readonly unknown[] = [
  'OBJECT_TABLE',
  'OBJECT_VIEW',
  'OBJECT_MATVIEW',
  'OBJECT_INDEX',
];

/** The key that a table or index has after statements, which may rename it. */
export function keyAfter(key: string, statements: readonly ParsedStatement[]): string {
  return statements.reduce((name, { node: { type, body } }) => {
    const isRenamed = type === 'RenameStmt' && relationKinds.includes(body.renameType);
    return isRenamed && keyOf(body.relation) === name ? newKeyOf(body) : name;
  }, key);
}

/** The name as people write it: without `public`. */
export function nameOfKey(key: string): string {
  return key.replace(/^public\./, '');
}

/** The name as SQL: without `public`, and with quotes where it needs them. */
export function sqlNameOfKey(key: string): string {
  const schema = key.slice(0, key.indexOf('.'));
  return quoteWhereNeeded(...(schema === 'public' ? [] : [schema]), bareName(key));
}

/** The last part of the name. */
export function bareName(key: string): string {
  return key.slice(key.indexOf('.') + 1);
}

/** True for a temporary table: only its session sees it. */
export function isTemporary(relation: unknown): boolean {
  return asNode(relation).relpersistence === 't';
}

/** A call of a function or procedure. */
export interface Call {
  readonly name: string;
  readonly positional: readonly SyntaxNode[];
  readonly named: ReadonlyMap<string, SyntaxNode>;
}

/** The calls that a statement consists of: `SELECT f()`, `SELECT … FROM f()`, `CALL p()`. */
export function callsOf({ type, body }: StatementNode): readonly Call[] {
  if (type === 'CallStmt') return [callOf(asNode(body.funccall))];
  if (type !== 'SelectStmt') return [];
  const targets = nodes(body.targetList).map((node) => asNode(asNode(node.ResTarget).val).FuncCall);
  const sources = nodes(body.fromClause).flatMap((node) =>
    nodes(asNode(node.RangeFunction).functions).flatMap((list) =>
      nodes(asNode(list.List).items).map((item) => item.FuncCall),
    ),
  );
  return [...targets, ...sources]
    .filter((call) => call !== undefined)
    .map((call) => callOf(asNode(call)));
}

function callOf({ funcname, args }: SyntaxNode): Call {
  const given = nodes(args);
  return {
    name: lastName(funcname),
    positional: given.filter(({ NamedArgExpr }) => NamedArgExpr === undefined),
    named: new Map(
      given
        .map(({ NamedArgExpr }) => asNode(NamedArgExpr))
        .filter(({ name }) => name !== undefined)
        .map(({ name, arg }) => [String(name), asNode(arg)]),
    ),
  };
}

/** An argument by its place or one of its names. */
export function argumentOf(
  { positional, named }: Call,
  place: number,
  names: readonly string[],
): SyntaxNode | undefined {
  return names.map((name) => named.get(name)).find((node) => node) ?? positional[place];
}

/** The text of a constant, also of one with a cast; undefined for anything else. */
export function constantOf(node: SyntaxNode | undefined): string | undefined {
  const { TypeCast, A_Const } = node ?? {};
  if (TypeCast !== undefined) return constantOf(asNode(asNode(TypeCast).arg));
  const { sval } = asNode(A_Const);
  return sval === undefined ? undefined : String(asNode(sval).sval ?? '');
}

export function isNull(node: SyntaxNode | undefined): boolean {
  const { TypeCast, A_Const } = node ?? {};
  if (TypeCast !== undefined) return isNull(asNode(asNode(TypeCast).arg));
  return asNode(A_Const).isnull === true;
}

/** The key of the table that a text such as `'public.prices'` names, as a cast to regclass reads it. */
export function keyOfText(text: string): string {
  const parts = text.match(/"(?:[^"]|"")*"|[^."]+/g) ?? [];
  return keyOfNames(
    parts.map((part) =>
      part.startsWith('"') ? part.slice(1, -1).replaceAll('""', '"') : part.trim().toLowerCase(),
    ),
  );
}

/** The names of all functions that are called anywhere in a statement. */
export function namesCalled(value: unknown): ReadonlySet<string> {
  const calls = [...fieldsBelow(value)].filter(({ name }) => /^funccall$/i.test(name));
  return new Set(calls.map(({ body }) => lastName(body.funcname)));
}

/** The hours of an interval such as `7 days`; undefined for one that is not that plain. */
export function hoursOf(text: string | undefined): number | undefined {
  let hours = 0;
  const rest = text?.replaceAll(/(\d+)\s*([a-z]+)/gi, (_, count: string, unit: string) => {
    hours += Number(count) * (unitHours.find(([name]) => name.test(unit))?.[1] ?? Number.NaN);
    return '';
  });
  return rest === undefined || rest.trim() !== '' || Number.isNaN(hours) ? undefined : hours;
}

const unitHours: readonly (readonly [RegExp, number])[] = [
  [/^(s|secs?|seconds?)$/i, 1 / 3600],
  [/^(m|mins?|minutes?)$/i, 1 / 60],
  [/^(h|hours?)$/i, 1],
  [/^(d|days?)$/i, 24],
  [/^(w|weeks?)$/i, 168],
  [/^(mons?|months?)$/i, 720],
  [/^(y|years?)$/i, 8766],
];

/** The place in the file of a place that the grammar has found in a statement, parsed alone. */
export function indexIn({ text, index }: ParsedStatement, location: number): number {
  return index + Buffer.from(text).subarray(0, Math.max(0, location)).toString().length;
}
