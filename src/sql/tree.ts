/** A node of PostgreSQL's parse tree, as libpg-query gives it, by its fields. */
export type SyntaxNode = Readonly<Record<string, unknown>>;

export function asNode(value: unknown): SyntaxNode {
  return isNode(value) ? value : {};
}

function isNode(value: unknown): value is SyntaxNode {
  return typeof value === 'object' && value !== null;
}

export function nodes(value: unknown): SyntaxNode[] {
  return Array.isArray(value) ? value.map(asNode) : [];
}

/** The text of a String node; empty for any other. */
export function stringOf(node: SyntaxNode): string {
  return String(asNode(node.String).sval ?? '');
}

/** A node's type, and what stands below it. */
export function typed(node: unknown): { readonly type: string; readonly body: SyntaxNode } {
  const [type = '', body = {}] = Object.entries(asNode(node))[0] ?? [];
  return { type, body: asNode(body) };
}

/** The last part of a qualified name, such as a function's: `f` of `s.f`; empty for no name. */
export function lastName(names: unknown): string {
  return stringOf(nodes(names).at(-1) ?? {});
}
