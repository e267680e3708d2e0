import type { ChalkInstance } from 'chalk';
import { width } from '../runtime/excerpt.ts';

/** What the stream that gets the text can show. */
export interface Look {
  readonly chalk: ChalkInstance;
  /** The width of the terminal; undefined without a terminal: no line is cut. */
  readonly columns: number | undefined;
}

/** A text, or a text and its colour, which is applied after the text is cut and padded. */
export type Cell = string | { readonly text: string; readonly paint: (text: string) => string };

export interface Table {
  /** Dim, where a cell has no colour of its own. */
  readonly head: readonly Cell[];
  readonly rows: readonly (readonly Cell[])[];
  /** The columns that are aligned to the right. */
  readonly right?: readonly number[];
  /** The columns that shrink on a narrow terminal. The first of them shrinks first. */
  readonly flexible: readonly number[];
  /** The columns that are left out where the table would still be too wide. The first of them goes first. */
  readonly optional?: readonly number[];
}

const gap = '  ';
const narrowest = 12;

/** Renders a table as lines. Columns are two spaces apart, and each is as wide as its widest cell. */
export function renderTable(
  { head, rows, right = [], flexible, optional = [] }: Table,
  { chalk, columns = Number.POSITIVE_INFINITY }: Look,
): readonly string[] {
  const dimmed = head.map((cell) =>
    typeof cell === 'string' ? { text: cell, paint: chalk.dim } : cell,
  );
  const all = [dimmed, ...rows];
  const widths = new Map(
    head.map((_, at) => [at, Math.max(...all.map((row) => width(textOf(row[at] ?? ''))))]),
  );
  const excess = () =>
    [...widths.values()].reduce((sum, each) => sum + gap.length + each, -gap.length) - columns;
  const spare = (at: number) => Math.max(0, (widths.get(at) ?? 0) - narrowest);
  for (const at of optional) {
    if (excess() > flexible.reduce((sum, each) => sum + spare(each), 0)) widths.delete(at);
  }
  for (const at of flexible) {
    const given = Math.min(Math.max(0, excess()), spare(at));
    if (given > 0) widths.set(at, (widths.get(at) ?? 0) - given);
  }
  return all.map((row) =>
    [...widths]
      .map(([at, room]) => {
        const cell = row[at] ?? '';
        const cut = shorten(textOf(cell), room);
        const text = typeof cell === 'string' ? cut : cell.paint(cut);
        const space = ' '.repeat(room - width(cut));
        return right.includes(at) ? space + text : text + space;
      })
      .join(gap)
      .trimEnd(),
  );
}

function textOf(cell: Cell): string {
  return typeof cell === 'string' ? cell : cell.text;
}

/** Cuts a text that is wider than `room`, and ends it with an ellipsis. */
function shorten(text: string, room: number): string {
  if (width(text) <= room) return text;
  let kept = '';
  for (const character of text) {
    if (width(kept + character) > room - 1) break;
    kept += character;
  }
  return `${kept}…`;
}

/** A name or a statement may hold line ends and other characters that would move the cursor. */
export function oneLine(value: string | number | boolean | Date): string {
  return String(value).replaceAll(/[\p{Cc}\s]+/gu, ' ');
}

/** Breaks a text between words; a word that is wider than `room` stays whole. */
export function wrap(text: string, room: number): readonly string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && width(`${line} ${word}`) > room) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
