/** The fields of a node in PostgreSQL's parse tree, in the JSON form of libpg-query. */
export type SyntaxNode = Readonly<Record<string, unknown>>;

/** The value as a node; a node without fields for any other value. */
export function asNode(value: unknown): SyntaxNode {
  return isNode(value) ? value : {};
}

function isNode(value: unknown): value is SyntaxNode {
  return typeof value === 'object' && value !== null;
}

/** The list as nodes; empty for a value that is not a list. */
export function nodes(value: unknown): SyntaxNode[] {
  return Array.isArray(value) ? value.map(asNode) : [];
}

/** The text of a String node; empty for any other. */
export function stringOf(node: SyntaxNode): string {
  return String(asNode(node.String).sval ?? '');
}

/** A node's type, such as `SelectStmt`, and its fields: in the JSON form, its one key and value. */
export function typed(node: unknown): { readonly type: string; readonly body: SyntaxNode } {
  const [type = '', body = {}] = Object.entries(asNode(node))[0] ?? [];
  return { type, body: asNode(body) };
}

/** Every field below the value that is a node or a list, by its name; a node's type is such a name. Outer ones come first. */
export function* fieldsBelow(
  value: unknown,
): Generator<{ readonly name: string; readonly body: SyntaxNode }> {
  for (const [name, field] of Object.entries(asNode(value))) {
    if (!isNode(field)) continue;
    yield { name, body: field };
    yield* fieldsBelow(field);
  }
}

/** The last part of a qualified name, such as a function's: `f` of `s.f`; empty for no name. */
export function lastName(names: unknown): string {
  return stringOf(nodes(names).at(-1) ?? {});
}
