import { asNode, nodes, type SyntaxNode, stringOf, typed } from '../sql/tree.ts';

/** What is known about the values of a column. */
export interface ColumnFact {
  readonly isNeverNull: boolean;
  /** The column of a table that it returns unchanged: `table.column`. */
  readonly source: string | undefined;
}

/** Column → what is known about it. */
export type ColumnFacts = ReadonlyMap<string, ColumnFact>;

/** The columns of a relation; undefined for an unknown relation. */
export type Resolve = (schema: string | undefined, relation: string) => ColumnFacts | undefined;

/**
 * Which columns of a query can never be NULL, and which return a table's column unchanged. What the
 * query's tree and the columns that it reads do not show counts as unknown. `names` are the names of
 * the query's columns, in order.
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

/** The columns that a SELECT returns. `*` does not occur: the server lists a view's columns. */
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
    // The columns of a common table that may read itself, or renames its columns, are unknown.
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
  /** Columns that WHERE requires not to be NULL, as `alias.column` or `column`. */
  readonly required: ReadonlySet<string>;
  /** A group has at least one row: an aggregate over values that are never NULL is not NULL. */
  readonly isGrouped: boolean;
  /** ROLLUP, CUBE and GROUPING SETS give NULL for any grouped expression, also `coalesce(a, 'none')`. */
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
    required: new Set(requiredColumns(asNode(query.whereClause))),
    isGrouped: groups.length > 0,
    isPadded: groups.some(({ GroupingSet }) => GroupingSet !== undefined),
  };
}

function addRelations(
  item: SyntaxNode,
  context: {
    readonly resolve: Resolve;
    /** On the side of an outer join that may have no row. */
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
function requiredColumns(condition: SyntaxNode): readonly string[] {
  const { type, body } = typed(condition);
  if (type === 'BoolExpr' && body.boolop === 'AND_EXPR') {
    return nodes(body.args).flatMap(requiredColumns);
  }
  if (type !== 'NullTest' || body.nulltesttype !== 'IS_NOT_NULL') return [];
  const path = pathOf(asNode(body.arg));
  return path ? [path.join('.')] : [];
}

function pathOf(node: SyntaxNode): readonly string[] | undefined {
  const fields = nodes(asNode(node.ColumnRef).fields).map(stringOf);
  return fields.length > 0 && fields.every((field) => field !== '') ? fields : undefined;
}

/** Aggregates that are NULL only without a row or without a value. */
const aggregates = new Set(
  'min max sum avg first last bool_and bool_or every array_agg string_agg jsonb_agg json_agg'.split(
    ' ',
  ),
);
/** Functions that are NULL only when an argument is NULL. */
const strictFunctions = new Set(
  'time_bucket date_trunc length round floor ceil abs btrim'.split(' '),
);
const timescaleFunctions = new Set(['time_bucket', 'first', 'last']);
/** Operators of numbers, texts and times that are NULL only when an operand is NULL. */
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
      // Of these, only current_schema can be NULL: when no schema of search_path exists.
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
        strictOperators.has(knownName(body.name)) &&
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
  const name = knownName(body.funcname);
  if (body.over !== undefined) return name === 'row_number' || name === 'count';
  if (name === 'count') return true;
  if (strictFunctions.has(name)) return all(body.args);
  return aggregates.has(name) && isGrouped && body.agg_filter === undefined && all(body.args);
}

function isCount(node: unknown): boolean {
  return knownName(asNode(asNode(node).FuncCall).funcname) === 'count';
}

/**
 * The name of a known function or operator; empty for one with a schema, which is not PostgreSQL's own
 * and may behave differently from its namesake. TimescaleDB's functions are known.
 */
function knownName(names: unknown): string {
  const path = nodes(names).map(stringOf);
  const name = path.at(-1) ?? '';
  const isKnown = path.length === 1 || path[0] === 'pg_catalog' || timescaleFunctions.has(name);
  return isKnown ? name : '';
}

function isColumnNeverNull(node: SyntaxNode, scope: Scope): boolean {
  const isAsked = scope.required.has(pathOf(node)?.join('.') ?? '');
  return isAsked || findColumn(node, scope)?.isNeverNull === true;
}

/** undefined for an expression that is not a column, and for a column without an alias among several relations. */
function findColumn(node: SyntaxNode, { relations }: Scope): ColumnFact | undefined {
  const [column = '', alias] = pathOf(node)?.toReversed() ?? [];
  if (alias !== undefined) return relations.get(alias)?.get(column);
  const [only, ...others] = relations.values();
  return others.length === 0 ? only?.get(column) : undefined;
}
