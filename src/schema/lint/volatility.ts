import { asNode, lastName, nodes, type SyntaxNode, typed } from '../../sql/tree.ts';

/** As PostgreSQL classes functions; `unknown`: the name of a function does not tell. */
export type Volatility = 'immutable' | 'stable' | 'volatile' | 'unknown';

/** From the one that changes least. An expression is of the class of its most changing part. */
const order: readonly Volatility[] = ['immutable', 'stable', 'unknown', 'volatile'];

/** How often the value of an expression changes: a default that does not within a statement is stored once for all rows. */
export function volatilityOf(expression: SyntaxNode): Volatility {
  const { type, body } = typed(expression);
  switch (type) {
    case 'A_Const':
      return 'immutable';
    case 'TypeCast':
    case 'CollateClause':
      return most([body.arg]);
    case 'A_Expr':
      return most([body.lexpr, body.rexpr]);
    case 'A_ArrayExpr':
      return most(nodes(body.elements));
    case 'CoalesceExpr':
      return most(nodes(body.args));
    case 'SQLValueFunction':
      return 'stable';
    case 'FuncCall':
      return most(nodes(body.args), classOf(lastName(body.funcname)));
    default:
      return 'unknown';
  }
}

function most(parts: readonly unknown[], own: Volatility = 'immutable'): Volatility {
  const classes = parts
    .filter((part) => part !== undefined)
    .map((part) => volatilityOf(asNode(part)));
  const rank = Math.max(...[own, ...classes].map((each) => order.indexOf(each)));
  return order[rank] ?? 'unknown';
}

function classOf(name: string): Volatility {
  if (immutable.has(name)) return 'immutable';
  if (stable.has(name)) return 'stable';
  return volatile.has(name) ? 'volatile' : 'unknown';
}

/** Functions of PostgreSQL that defaults use. */
const immutable: ReadonlySet<string> = new Set([
  ...['upper', 'lower', 'md5', 'left', 'right', 'lpad', 'rpad', 'repeat', 'length', 'encode'],
  ...['decode', 'round', 'floor', 'ceil', 'abs', 'make_interval', 'make_date', 'int4range'],
  ...['int8range', 'numrange', 'tstzrange', 'daterange', 'timezone', 'date_part', 'extract'],
  ...['array_fill', 'string_to_array', 'point'],
]);

const stable: ReadonlySet<string> = new Set([
  ...['now', 'transaction_timestamp', 'statement_timestamp', 'date_trunc', 'age', 'to_timestamp'],
  ...['concat', 'concat_ws', 'format', 'jsonb_build_object', 'jsonb_build_array', 'to_jsonb'],
  ...['json_build_object', 'json_build_array', 'to_json', 'current_setting', 'make_timestamptz'],
  ...['current_database', 'current_schema', 'to_char', 'to_tsvector'],
]);

const volatile: ReadonlySet<string> = new Set([
  ...['gen_random_uuid', 'gen_random_bytes', 'uuid_generate_v1', 'uuid_generate_v1mc'],
  ...['uuid_generate_v4', 'random', 'nextval', 'clock_timestamp', 'timeofday', 'txid_current'],
]);
