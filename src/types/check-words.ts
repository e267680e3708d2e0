import { asNode, nodes, type SyntaxNode, stringOf, typed } from '../sql/tree.ts';

/** The words that a CHECK allows in a column. */
export interface CheckWords {
  readonly column: string;
  /** In the order of the constraint. */
  readonly words: readonly string[];
}

/**
 * The columns whose words a CHECK lists, from its condition's tree: `column IN ('a', 'b')`,
 * `column = 'a'`, these joined by OR for one column, and any of them as a part of an AND. Whatever
 * else the condition says narrows the words at most; NULL passes every CHECK.
 */
export function wordsOf(condition: SyntaxNode): readonly CheckWords[] {
  const { type, body } = typed(condition);
  if (type === 'BoolExpr' && body.boolop === 'AND_EXPR') return nodes(body.args).flatMap(wordsOf);
  const found = alternativesOf(condition);
  return found ? [found] : [];
}

function alternativesOf(condition: SyntaxNode): CheckWords | undefined {
  const { type, body } = typed(condition);
  if (type === 'A_Expr') return comparedWords(body);
  if (type !== 'BoolExpr' || body.boolop !== 'OR_EXPR') return undefined;
  const parts = nodes(body.args).filter((part) => !isNullTest(part));
  const found = parts.map(alternativesOf);
  const [first] = found;
  if (!first || found.some((part) => part?.column !== first.column)) return undefined;
  return { column: first.column, words: [...new Set(found.flatMap((part) => part?.words ?? []))] };
}

/** `column IN (…)`, `column = ANY (ARRAY[…])`, as the server writes it, and `column = '…'`. */
function comparedWords(body: SyntaxNode): CheckWords | undefined {
  if (stringOf(nodes(body.name).at(-1) ?? {}) !== '=') return undefined;
  const column = columnOf(body.lexpr);
  const listed =
    body.kind === 'AEXPR_OP_ANY'
      ? nodes(asNode(withoutCast(body.rexpr).A_ArrayExpr).elements)
      : body.kind === 'AEXPR_IN'
        ? nodes(asNode(asNode(body.rexpr).List).items)
        : body.kind === 'AEXPR_OP'
          ? [asNode(body.rexpr)]
          : [];
  const words = listed.map(wordOf);
  if (column === undefined || words.length === 0 || words.includes(undefined)) return undefined;
  return { column, words: words.filter((word) => word !== undefined) };
}

function columnOf(node: unknown): string | undefined {
  const fields = nodes(asNode(withoutCast(node).ColumnRef).fields);
  return fields.length === 1 ? stringOf(fields[0] ?? {}) : undefined;
}

function wordOf(node: unknown): string | undefined {
  const text = asNode(asNode(withoutCast(node).A_Const).sval).sval;
  return typeof text === 'string' ? text : undefined;
}

/** The server writes `(tier)::text = ANY ((ARRAY['free'::character varying])::text[])`. */
function withoutCast(node: unknown): SyntaxNode {
  const { type, body } = typed(node);
  return type === 'TypeCast' ? withoutCast(body.arg) : asNode(node);
}

function isNullTest(node: SyntaxNode): boolean {
  return asNode(node.NullTest).nulltesttype === 'IS_NULL';
}
