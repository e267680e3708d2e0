import { asNode, nodes, type SyntaxNode, stringOf, typed } from '../sql/tree.ts';

/** What is known of a column's values. */
export interface ColumnFact {
  readonly isNeverNull: boolean;
  /** The table's column that it shows as it is: `table.column`. */
  readonly source: string | undefined;
}

/** By the columns' names. */
export type ColumnFacts = ReadonlyMap<string, ColumnFact>;

/** The columns of a relation, undefined for one that is not known. */
export type Resolve = (schema: string | undefined, relation: string) => ColumnFacts | undefined;

/**
 * Which columns of a query can never be NULL, and which show a table's column as it is, as far as
 * its tree and the columns that it reads tell. `names` are the columns' own, in order.
 */
export function factsOfQuery(
  query: SyntaxNode,
  names: readonly string[],
  resolve: Resolve,
): ColumnFacts {
  const columns = outputOf(query, resolve);
  return new Map(names.map((name, index) => [name, columns[index] ?? unknownColumn]));
}

const unknownColumn: ColumnFact = { isNeverNull: false, source: undefined };

interface Output extends ColumnFact {
  readonly name: string;
}

/** The columns that a SELECT returns. `*` does not occur: the server writes a view's columns out. */
function outputOf(query: SyntaxNode, outer: Resolve): readonly Output[] {
  const resolve = withCommonTables(query, outer);
  const operation = query.op ?? 'SETOP_NONE';
  if (operation !== 'SETOP_NONE') {
    const left = outputOf(asNode(query.larg), resolve);
    const right = outputOf(asNode(query.rarg), resolve);
    return left.map(({ name, isNeverNull, source }, index) => ({
      name,
      isNeverNull: isNeverNull && right[index]?.isNeverNull === true,
      source: source === right[index]?.source ? source : undefined,
    }));
  }
  const scope = scopeOf(query, resolve);
  return nodes(query.targetList).map((item) => {
    const { name, val } = asNode(item.ResTarget);
    const fields = nodes(asNode(asNode(val).ColumnRef).fields);
    return {
      name: typeof name === 'string' ? name : stringOf(fields.at(-1) ?? {}),
      isNeverNull: isNeverNull(val, scope) && (!scope.isPadded || isCount(val)),
      source: findColumn(asNode(val), scope)?.source,
    };
  });
}

function withCommonTables(query: SyntaxNode, outer: Resolve): Resolve {
  const { ctes, recursive } = asNode(query.withClause);
  return nodes(ctes).reduce<Resolve>((resolve, item) => {
    const { ctename, ctequery, aliascolnames } = asNode(item.CommonTableExpr);
    // Of one that may read itself, or names its columns anew, nothing is known but that it is there.
    const columns =
      recursive === true || aliascolnames !== undefined
        ? undefined
        : toMap(outputOf(asNode(asNode(ctequery).SelectStmt), resolve));
    return (schema, relation) =>
      schema === undefined && relation === ctename ? columns : resolve(schema, relation);
  }, outer);
}

function toMap(columns: readonly Output[]): ColumnFacts {
  return new Map(columns.map((column) => [column.name, column]));
}

/** What the expressions of one SELECT may refer to. */
interface Scope {
  /** By alias. */
  readonly relations: ReadonlyMap<string, ColumnFacts>;
  /** Columns that WHERE asks not to be NULL, as `alias.column` or `column`. */
  readonly asked: ReadonlySet<string>;
  /** A group has a row at least, so that an aggregate over values that are never NULL is none. */
  readonly isGrouped: boolean;
  /** ROLLUP and its like put NULL for whatever is grouped by, be it `coalesce(a, 'none')`. */
  readonly isPadded: boolean;
}

function scopeOf(query: SyntaxNode, resolve: Resolve): Scope {
  const groups = nodes(query.groupClause);
  const relations = new Map<string, ColumnFacts>();
  for (const item of nodes(query.fromClause)) {
    addRelations(item, { resolve, isOptional: false, relations });
  }
  return {
    relations,
    asked: new Set(askedColumns(asNode(query.whereClause))),
    isGrouped: groups.length > 0,
    isPadded: groups.some(({ GroupingSet }) => GroupingSet !== undefined),
  };
}

function addRelations(
  item: SyntaxNode,
  context: {
    readonly resolve: Resolve;
    /** On the side of an outer join that may be missing. */
    readonly isOptional: boolean;
    readonly relations: Map<string, ColumnFacts>;
  },
): void {
  const { resolve, isOptional, relations } = context;
  const { type, body } = typed(item);
  const add = (alias: unknown, columns: ColumnFacts | undefined) => {
    if (typeof alias !== 'string') return;
    const known = asNode(body.alias).colnames === undefined ? columns : undefined;
    const seen = [...(known ?? [])].map(
      ([name, fact]) => [name, isOptional ? { ...fact, isNeverNull: false } : fact] as const,
    );
    relations.set(alias, new Map(seen));
  };
  const alias = asNode(body.alias).aliasname;
  if (type === 'RangeVar') {
    const schema = typeof body.schemaname === 'string' ? body.schemaname : undefined;
    add(alias ?? body.relname, resolve(schema, String(body.relname)));
  } else if (type === 'RangeSubselect') {
    add(alias, toMap(outputOf(asNode(asNode(body.subquery).SelectStmt), resolve)));
  } else if (type === 'JoinExpr') {
    const { jointype } = body;
    const isLeftOptional = jointype === 'JOIN_RIGHT' || jointype === 'JOIN_FULL';
    const isRightOptional = jointype === 'JOIN_LEFT' || jointype === 'JOIN_FULL';
    addRelations(asNode(body.larg), { ...context, isOptional: isOptional || isLeftOptional });
    addRelations(asNode(body.rarg), { ...context, isOptional: isOptional || isRightOptional });
  } else {
    add(alias, undefined);
  }
}

/** `WHERE a IS NOT NULL AND …` */
function askedColumns(condition: SyntaxNode): readonly string[] {
  const { type, body } = typed(condition);
  if (type === 'BoolExpr' && body.boolop === 'AND_EXPR') {
    return nodes(body.args).flatMap(askedColumns);
  }
  if (type !== 'NullTest' || body.nulltesttype !== 'IS_NOT_NULL') return [];
  const path = pathOf(asNode(body.arg));
  return path ? [path.join('.')] : [];
}

function pathOf(node: SyntaxNode): readonly string[] | undefined {
  const fields = nodes(asNode(node.ColumnRef).fields).map(stringOf);
  return fields.length > 0 && fields.every((field) => field !== '') ? fields : undefined;
}

/** Aggregates that are NULL only for want of a row or of a value. */
const aggregates = new Set(
  'min max sum avg first last bool_and bool_or every array_agg string_agg jsonb_agg json_agg'.split(
    ' ',
  ),
);
/** Functions that are NULL only where an argument is. */
const strictFunctions = new Set(
  'time_bucket date_trunc length round floor ceil abs btrim'.split(' '),
);
const timescaleFunctions = new Set(['time_bucket', 'first', 'last']);
/** Operators of numbers, texts and times that are NULL only where an operand is. */
const strictOperators = new Set('+ - * / % || = <> < > <= >='.split(' '));

function isNeverNull(node: unknown, scope: Scope): boolean {
  const all = (list: unknown) => nodes(list).every((item) => isNeverNull(item, scope));
  const { type, body } = typed(node);
  switch (type) {
    case 'ColumnRef':
      return isColumnNeverNull(asNode(node), scope);
    case 'A_Const':
      return body.isnull !== true;
    case 'TypeCast':
      return isNeverNull(body.arg, scope);
    case 'NullTest':
    case 'BooleanTest':
      return true;
    case 'SQLValueFunction':
      // The one of them that is NULL, where search_path names no schema that is there.
      return body.op !== 'SVFOP_CURRENT_SCHEMA';
    case 'BoolExpr':
      return all(body.args);
    case 'CoalesceExpr':
    case 'MinMaxExpr':
      return nodes(body.args).some((item) => isNeverNull(item, scope));
    case 'CaseExpr':
      return (
        nodes(body.args).every((item) => isNeverNull(asNode(item.CaseWhen).result, scope)) &&
        body.defresult !== undefined &&
        isNeverNull(body.defresult, scope)
      );
    case 'A_Expr':
      return (
        body.kind === 'AEXPR_OP' &&
        strictOperators.has(nameOf(body.name)) &&
        (body.lexpr === undefined || isNeverNull(body.lexpr, scope)) &&
        isNeverNull(body.rexpr, scope)
      );
    case 'SubLink':
      return body.subLinkType === 'EXISTS_SUBLINK';
    case 'FuncCall':
      return isCallNeverNull(body, scope, all);
    default:
      return false;
  }
}

function isCallNeverNull(
  body: SyntaxNode,
  { isGrouped }: Scope,
  all: (list: unknown) => boolean,
): boolean {
  const name = nameOf(body.funcname);
  if (body.over !== undefined) return name === 'row_number' || name === 'count';
  if (name === 'count') return true;
  if (strictFunctions.has(name)) return all(body.args);
  return aggregates.has(name) && isGrouped && body.agg_filter === undefined && all(body.args);
}

function isCount(node: unknown): boolean {
  return nameOf(asNode(asNode(node).FuncCall).funcname) === 'count';
}

/**
 * A function or operator by its name. The server writes a schema before what is not PostgreSQL's
 * own, whose namesakes may return what they like: TimescaleDB's functions alone are known by it.
 */
function nameOf(names: unknown): string {
  const path = nodes(names).map(stringOf);
  const name = path.at(-1) ?? '';
  const isKnown = path.length === 1 || path[0] === 'pg_catalog' || timescaleFunctions.has(name);
  return isKnown ? name : '';
}

function isColumnNeverNull(node: SyntaxNode, scope: Scope): boolean {
  const isAsked = scope.asked.has(pathOf(node)?.join('.') ?? '');
  return isAsked || findColumn(node, scope)?.isNeverNull === true;
}

/** undefined for what is no column, or one of several relations that does not say of which. */
function findColumn(node: SyntaxNode, { relations }: Scope): ColumnFact | undefined {
  const [column = '', alias] = pathOf(node)?.toReversed() ?? [];
  if (alias !== undefined) return relations.get(alias)?.get(column);
  const [only, ...others] = relations.values();
  return others.length === 0 ? only?.get(column) : undefined;
}
