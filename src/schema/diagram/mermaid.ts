import type { Diagram, DiagramColumn, DiagramTable } from './model.ts';

/** The diagram as Mermaid's `erDiagram`. The same diagram gives the same bytes. */
export function renderMermaid({ tables, references, readings }: Diagram): string {
  const names = entityNames(tables);
  const nameOf = (table: string) => names.get(table) ?? '';
  return `${[
    'erDiagram',
    ...tables.flatMap((table) => renderEntity(table, nameOf(table.name))),
    ...references.map(({ table, references: to, referencing, referenced, columns }) => {
      const start = referenced === 'exactly one' ? '||' : '|o';
      const end = referencing === 'zero or one' ? 'o|' : 'o{';
      return `    ${nameOf(to)} ${start}--${end} ${nameOf(table)} : ${quoted(columns.join(', '))}`;
    }),
    ...readings.map(
      ({ view, reads }) => `    ${nameOf(reads)} }o..o{ ${nameOf(view)} : "is read by"`,
    ),
  ].join('\n')}\n`;
}

function renderEntity({ title, kind, columns }: DiagramTable, name: string): readonly string[] {
  const label = kind === 'table' ? '' : `[${quoted(`${title} (${kind})`)}]`;
  if (columns.length === 0) return [`    ${name}${label}`];
  return [`    ${name}${label} {`, ...columns.map(renderAttribute), '    }'];
}

function renderAttribute(column: DiagramColumn): string {
  const { type, isPrimary, isForeign, isUnique, isNullable, comment } = column;
  const keys = [
    ...(isPrimary ? ['PK'] : []),
    ...(isForeign ? ['FK'] : []),
    ...(isUnique && !isPrimary ? ['UK'] : []),
  ].join(', ');
  const name = attributeName(column.name);
  const notes = [
    ...(name === column.name ? [] : [column.name]),
    ...(isNullable ? ['may be NULL'] : []),
    ...(comment === undefined ? [] : [comment]),
  ];
  // Mermaid takes a comma in a type since 11.17, and web sites have older releases: numeric(20,8) is numeric.
  const short = word(type.replace(/\([^()]*,[^()]*\)/, ''));
  const words = [short, name, keys, notes.length === 0 ? '' : quoted(notes.join('; '))];
  return `        ${words.filter((each) => each !== '').join(' ')}`;
}

/** Words of Mermaid's grammar, in which case does not count. */
const reserved = new Set(
  `acctitle accdescr class classdef direction end erdiagram many one only optionally style subgraph title to u zero`.split(
    ' ',
  ),
);

/** The name of each table in the diagram: its own, quoted where it has to be. No two are the same. */
function entityNames(tables: readonly DiagramTable[]): ReadonlyMap<string, string> {
  const used = new Set<string>();
  return new Map(
    tables.map(({ name, title }) => {
      const isPlain = /^[a-z_]\w*$/i.test(title) && !reserved.has(title.toLowerCase());
      // Mermaid refuses these in a quoted name.
      const base = isPlain ? title : quoted(title.replaceAll(/[%\\]/g, '_'));
      let own = base;
      for (let count = 2; used.has(own); count += 1) {
        own = quoted(`${base.replaceAll('"', '')} (${count})`);
      }
      used.add(own);
      return [name, own];
    }),
  );
}

/** Mermaid takes PK, FK and UK for keys in every case. */
function attributeName(name: string): string {
  return /^[pfu]k$/i.test(name) ? `_${name}` : word(name);
}

/** One word, as each release of Mermaid takes it for a type or a name. */
function word(text: string): string {
  const safe = text.replaceAll(/[^\w()[\]-]/g, '_');
  return /^[a-z_]/i.test(safe) ? safe : `_${safe}`;
}

/** Mermaid has no escape for quotes; it takes `%%` for a comment, and a text between tildes for a generic type. */
function quoted(text: string): string {
  const flat = text
    .replaceAll(/[\p{Cc}\s]+/gu, ' ')
    .replaceAll('"', "'")
    .replaceAll('~', '\u223c');
  return `"${flat.replaceAll('%%', '% %').trim()}"`;
}
