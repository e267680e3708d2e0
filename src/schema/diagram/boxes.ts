import { width } from '../../runtime/excerpt.ts';
import type { DiagramColumn, DiagramTable, TableKind } from './model.ts';
import { textWidth } from './text-width.ts';

/** How a table is drawn, in pixels from its upper left corner. */
export interface TableBox {
  readonly table: DiagramTable;
  readonly width: number;
  readonly height: number;
  /** The kind, where it is not an ordinary table. */
  readonly badge: string | undefined;
  /** The lines of the comment below the title. */
  readonly comment: readonly string[];
  readonly headHeight: number;
  readonly rows: readonly Row[];
  /** Where the names of columns start. */
  readonly nameX: number;
}

export interface Row {
  readonly column: DiagramColumn;
  readonly name: string;
  readonly type: string;
  readonly marks: readonly Mark[];
  /** The middle of the row. */
  readonly y: number;
}

export type Mark = 'PK' | 'FK' | 'UK';

export const nameSize = 12;
export const typeSize = 11;
export const titleSize = 13.5;
export const commentSize = 11;
export const badgeSize = 9.5;
export const markSize = 8.5;
export const padding = 12;

const rowHeight = 18;
const lineHeight = 14;
const narrowest = 190;
const widestText = 44;
const mostCommentLines = 2;

const badges: Readonly<Record<TableKind, string | undefined>> = {
  table: undefined,
  hypertable: 'hypertable',
  'partitioned table': 'partitioned',
  'foreign table': 'foreign',
  view: 'view',
  'materialized view': 'materialized view',
  'continuous aggregate': 'continuous aggregate',
};

/** The box of a table as wide as it has to be, or wider. */
export function boxOf(table: DiagramTable, least = 0): TableBox {
  const boxWidth = Math.max(widthOf(table), least);
  const badge = badges[table.kind];
  const room = boxWidth - 2 * padding;
  const comment = table.comment === undefined ? [] : wrapped(table.comment, room);
  const headHeight = 31 + comment.length * lineHeight + (comment.length > 0 ? 3 : 0);
  const rows = table.columns.map((column, index) => ({
    column,
    name: shortened(column.name),
    type: typeOf(column),
    marks: marksOf(column),
    y: headHeight + 5 + (index + 0.5) * rowHeight,
  }));
  const height = headHeight + (rows.length === 0 ? 0 : rows.length * rowHeight + 10);
  return { table, width: boxWidth, height, badge, comment, headHeight, rows, nameX: nameX(table) };
}

/** The width of the badge's frame. */
export function badgeWidth(badge: string): number {
  return Math.ceil(textWidth(badge, badgeSize * 1.06)) + 14;
}

/** A title is cut, too. */
export function shortened(text: string): string {
  const flat = text.replaceAll(/[\p{Cc}\s]+/gu, ' ');
  if (width(flat) <= widestText) return flat;
  let kept = '';
  for (const character of flat) {
    if (width(kept + character) > widestText - 1) break;
    kept += character;
  }
  return `${kept}…`;
}

function widthOf(table: DiagramTable): number {
  const badge = badges[table.kind];
  const head =
    textWidth(shortened(table.title), titleSize * 1.06) +
    (badge === undefined ? 0 : badgeWidth(badge) + 14);
  const rows = table.columns.map(
    (column) =>
      nameX(table) -
      padding +
      textWidth(shortened(column.name), nameSize) +
      14 +
      textWidth(typeOf(column), typeSize),
  );
  return Math.max(narrowest, Math.ceil(Math.max(head, ...rows) + 2 * padding));
}

function nameX({ columns }: DiagramTable): number {
  const most = Math.max(0, ...columns.map((column) => marksOf(column).length));
  return padding + (most === 0 ? 0 : most * 16 + 6);
}

/** A column that may be NULL has a question mark. */
function typeOf({ type, isNullable }: DiagramColumn): string {
  return shortened(type) + (isNullable ? '?' : '');
}

function marksOf({ isPrimary, isForeign, isUnique }: DiagramColumn): readonly Mark[] {
  return [
    ...(isPrimary ? (['PK'] as const) : []),
    ...(isForeign ? (['FK'] as const) : []),
    ...(isUnique && !isPrimary ? (['UK'] as const) : []),
  ];
}

/** At most two lines; a longer comment ends with an ellipsis. */
function wrapped(text: string, room: number): readonly string[] {
  const fits = (line: string) => textWidth(line, commentSize) <= room;
  const lines: string[] = [];
  for (const word of text.split(/[\p{Cc}\s]+/u).filter((each) => each !== '')) {
    const longer = `${lines.at(-1) ?? ''} ${word}`.trimStart();
    if (lines.length > 0 && fits(longer)) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines.slice(0, mostCommentLines).map((line, index) => {
    const isCut = index === mostCommentLines - 1 && lines.length > mostCommentLines;
    return isCut || !fits(line) ? cut(line, fits) : line;
  });
}

function cut(line: string, fits: (text: string) => boolean): string {
  let kept = '';
  for (const character of line) {
    if (!fits(`${kept}${character}…`)) break;
    kept += character;
  }
  return `${kept.trimEnd()}…`;
}
