import { asNode, nodes, type SyntaxNode, stringOf, typed } from '../sql/tree.ts';

/** The texts that a CHECK allows in a column. */
export interface CheckWords {
  readonly column: string;
  /** In the order of the constraint. */
  readonly words: readonly string[];
}

/**
 * The columns whose words a CHECK lists. Reads `column IN ('a', 'b')`, `column = 'a'`, several of them
 * for one column joined by OR, and each of these as a part of an AND. Other parts of an AND can only
 * allow fewer words. NULL passes every CHECK.
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
  const found = nodes(body.args).map((part) => nullTestOf(part) ?? alternativesOf(part));
  const [first] = found;
  if (!first || found.some((part) => part?.column !== first.column)) return undefined;
  const words = [...new Set(found.flatMap((part) => part?.words ?? []))];
  return words.length > 0 ? { column: first.column, words } : undefined;
}

/** `column IN (…)`, which the server writes `column = ANY (ARRAY[…])`, and `column = '…'`. */
function comparedWords(body: SyntaxNode): CheckWords | undefined {
  // An operator with a schema is not PostgreSQL's own: that of citext ignores case.
  if (nodes(body.name).map(stringOf).join('.') !== '=') return undefined;
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

/**
 * Types that do not change a text. bpchar pads it with spaces. A cast to another type, or to a length,
 * can turn two words into one.
 */
export const textTypes: ReadonlySet<string> = new Set(['text', 'varchar']);

function columnOf(node: unknown): string | undefined {
  const { type, body } = typed(node);
  if (type === 'TypeCast') {
    const { names, typmods } = asNode(body.typeName);
    const isKept = typmods === undefined && textTypes.has(stringOf(nodes(names).at(-1) ?? {}));
    return isKept ? columnOf(body.arg) : undefined;
  }
  const fields = nodes(asNode(asNode(node).ColumnRef).fields);
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

/** `column IS NULL` allows no further word. */
function nullTestOf({ NullTest }: SyntaxNode): CheckWords | undefined {
  const { nulltesttype, arg } = asNode(NullTest);
  const column = nulltesttype === 'IS_NULL' ? columnOf(arg) : undefined;
  return column === undefined ? undefined : { column, words: [] };
}
