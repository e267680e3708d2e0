import type { Parse } from '../../sql/parse.ts';
import { asNode, nodes, type SyntaxNode, stringOf, typed } from '../../sql/tree.ts';

/**
 * An expression, a constraint or an index as every server writes it. After a dump and a restore, PostgreSQL writes
 * `ARRAY['a'::varchar, 'b'::varchar]::text[]` with the cast at each element: `ARRAY['a'::varchar::text, …]`. That form
 * stays the same, so the other is brought into it.
 */
export function normalizeExpression(text: string): string {
  const { out } = rewriteArrays(text, 0, undefined);
  return out;
}

/** The query of a view as every server writes it, on its lines, without a semicolon. */
export function normalizeQuery(text: string, parse: Parse): string {
  const query = text.trim().replace(/;$/, '');
  return normalizeExpression(withoutQualifiers(query, parse));
}

const castToArray =
  /^::((?:[a-z_][\w$]*|"(?:[^"]|"")+")(?:\.(?:[a-z_][\w$]*|"(?:[^"]|"")+"))?(?: [a-z]+)*(?:\(\d+(?:,\d+)?\))?)\[\]/;

/** Rewrites the text from `start`: to its end as `out`, or to the bracket that ends an array as `elements`. */
function rewriteArrays(
  text: string,
  start: number,
  end: ']' | undefined,
): { readonly out: string; readonly elements: readonly string[]; readonly at: number } {
  let out = '';
  let depth = 0;
  const elements: string[] = [];
  let at = start;
  while (at < text.length) {
    const character = text[at] ?? '';
    if (character === "'" || character === '"') {
      const literal = quotedFrom(text, at);
      out += literal;
      at += literal.length;
    } else if (text.startsWith('ARRAY[', at) && !/[\w$]/.test(text[at - 1] ?? '')) {
      const inner = rewriteArrays(text, at + 'ARRAY['.length, ']');
      at = inner.at;
      const [cast, type] = castToArray.exec(text.slice(at)) ?? [];
      if (cast === undefined || type === undefined || inner.elements.length === 0) {
        out += `ARRAY[${inner.elements.join(', ')}]`;
      } else {
        out += `ARRAY[${inner.elements.map((element) => castOf(element, type)).join(', ')}]`;
        at += cast.length;
      }
    } else if (end !== undefined && depth === 0 && (character === ',' || character === end)) {
      if (out.trim() !== '') elements.push(out.trim());
      out = '';
      at += 1;
      if (character === end) return { out: '', elements, at };
    } else {
      if (character === '(' || character === '[') depth += 1;
      if (character === ')' || character === ']') depth -= 1;
      out += character;
      at += 1;
    }
  }
  return { out, elements, at };
}

function castOf(element: string, type: string): string {
  if (element.endsWith(`::${type}`)) return element;
  return isOneOperand(element) ? `${element}::${type}` : `(${element})::${type}`;
}

const casts = /(?:::[\w$. "]+(?:\([\d,]+\))?)+$/;
const literalNameOrCall = /^(?:'(?:[^']|'')*'|[\w$."]+(?:\([^()]*\))?)$/;

/** A literal, a name, a call or what stands in parentheses, with its casts: a cast that follows is of all of it. */
function isOneOperand(element: string): boolean {
  const operand = element.replace(casts, '');
  return literalNameOrCall.test(operand) || endOfParentheses(operand) === operand.length;
}

/** The index after the parenthesis that closes the first one; 0 for a text that does not begin with one. */
function endOfParentheses(text: string): number {
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at];
    if (character === "'" || character === '"') at += quotedFrom(text, at).length - 1;
    else if (character === '(') depth += 1;
    else if (character === ')') depth -= 1;
    if (depth === 0) return at === 0 ? 0 : at + 1;
  }
  return 0;
}

/** A string or a quoted name, with its quotes. The server doubles a quote inside. */
function quotedFrom(text: string, start: number): string {
  const quote = text[start] ?? '';
  let at = start + 1;
  while (at < text.length) {
    if (text[at] === quote) {
      if (text[at + 1] !== quote) return text.slice(start, at + 1);
      at += 1;
    }
    at += 1;
  }
  return text.slice(start);
}

/**
 * PostgreSQL 15 writes the table's name before each column of a view, later releases do not where the query reads one
 * relation only. Nothing is taken from queries in parentheses: there every release writes it.
 */
function withoutQualifiers(query: string, parse: Parse): string {
  const { statements } = parse(query);
  const [statement] = statements ?? [];
  if (statement?.node.type !== 'SelectStmt') return query;
  const select = statement.node.body;
  const [from, ...others] = nodes(select.fromClause);
  if (!from || others.length > 0 || select.op !== 'SETOP_NONE') return query;
  const name = nameOf(from);
  if (name === undefined) return query;
  const bytes = Buffer.from(query);
  const parts: Buffer[] = [];
  let copied = 0;
  for (const location of qualifiedBy(name, withoutNamesOfOutput(select)).sort((a, b) => a - b)) {
    parts.push(bytes.subarray(copied, location));
    copied = location + lengthOfQualifier(bytes, location);
  }
  parts.push(bytes.subarray(copied));
  return Buffer.concat(parts).toString();
}

/**
 * The query without the columns of ORDER BY and DISTINCT ON that have the name of another output column: alone, such a
 * name would mean the output column.
 */
function withoutNamesOfOutput(select: SyntaxNode): SyntaxNode {
  const outputs = nodes(select.targetList).map((target) => asNode(target.ResTarget));
  const isOutput = (item: SyntaxNode) => {
    const column = columnOf(item.SortBy ? asNode(item.SortBy).node : item);
    return (
      column !== undefined &&
      outputs.some(({ name, val }) => name === column && columnOf(val) !== column)
    );
  };
  const others = (clause: unknown) => nodes(clause).filter((item) => !isOutput(item));
  return {
    ...select,
    sortClause: others(select.sortClause),
    distinctClause: others(select.distinctClause),
  };
}

/** The name of a column, without its table; undefined for any other expression. */
function columnOf(expression: unknown): string | undefined {
  const { ColumnRef } = asNode(expression);
  const last = nodes(asNode(ColumnRef).fields).at(-1);
  return last && stringOf(last);
}

/** The name that columns of this one relation have before them; undefined for a join. */
function nameOf(from: SyntaxNode): string | undefined {
  const { type, body } = typed(from);
  if (!['RangeVar', 'RangeSubselect', 'RangeFunction'].includes(type)) return undefined;
  const alias = asNode(body.alias).aliasname;
  if (typeof alias === 'string') return alias;
  return type === 'RangeVar' && typeof body.relname === 'string' ? body.relname : undefined;
}

/** Where columns with this name before them stand, in bytes, outside of other queries. */
function qualifiedBy(name: string, value: unknown): number[] {
  if (Array.isArray(value)) return value.flatMap((each) => qualifiedBy(name, each));
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]): number[] => {
    if (key === 'SubLink' || key === 'RangeSubselect' || key === 'withClause') return [];
    if (key !== 'ColumnRef') return qualifiedBy(name, inner);
    const { fields, location } = asNode(inner);
    const [qualifier, column] = nodes(fields);
    // Of a whole row, `name.*`, the name is all there is.
    const isQualified = qualifier && column?.String !== undefined && stringOf(qualifier) === name;
    return isQualified ? [typeof location === 'number' ? location : 0] : [];
  });
}

/** Of the name at this place, with its quotes and the dot; in bytes. */
function lengthOfQualifier(bytes: Buffer, location: number): number {
  const text = bytes.subarray(location).toString();
  const name = text.startsWith('"') ? quotedFrom(text, 0) : (/^[^.]*/.exec(text)?.[0] ?? '');
  return Buffer.byteLength(`${name}.`);
}

/**
 * Grants such as `reader: SELECT` as every release has them: since 17, ALL on a table has MAINTAIN too. It is left out for a
 * role that has all the others.
 */
export function normalizeGrants(grants: readonly string[] | null): readonly string[] | null {
  return (
    grants?.filter((grant) => {
      const [, to, star] = /^(.*: )MAINTAIN(\*?)$/.exec(grant) ?? [];
      return (
        to === undefined || !olderPrivileges.every((word) => grants.includes(to + word + star))
      );
    }) ?? null
  );
}

/** All on a table before release 17. */
const olderPrivileges = [
  'DELETE',
  'INSERT',
  'REFERENCES',
  'SELECT',
  'TRIGGER',
  'TRUNCATE',
  'UPDATE',
];
