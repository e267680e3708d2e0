import { width } from '../runtime/excerpt.ts';

/** A cell: what is shown, and how it is painted once it is cut and padded. */
export interface Cell {
  readonly text: string;
  readonly paint?: (text: string) => string;
  /** Default left. */
  readonly align?: 'left' | 'right';
}

export interface TableOptions {
  readonly head: readonly Cell[];
  readonly rows: readonly (readonly Cell[])[];
  /** The columns that give way where the terminal is too narrow, the first of them first. */
  readonly flexible: readonly number[];
  /** undefined: as wide as it takes. */
  readonly columns: number | undefined;
}

const gap = '  ';
const narrowest = 8;

/** Lines of a table: columns two spaces apart, none wider than its content. */
export function renderTable({ head, rows, flexible, columns }: TableOptions): readonly string[] {
  const all = [head, ...rows];
  const widths = head.map((_, column) =>
    Math.max(...all.map((row) => width(row[column]?.text ?? ''))),
  );
  const total = widths.reduce((sum, each) => sum + each, gap.length * (widths.length - 1));
  const fitted = [...widths];
  let excess = columns === undefined ? 0 : Math.max(0, total - columns);
  for (const column of flexible) {
    const each = widths[column] ?? 0;
    const given = Math.min(excess, Math.max(0, each - narrowest));
    fitted[column] = each - given;
    excess -= given;
  }
  return all.map((row) =>
    row
      .map(({ text, paint = (same) => same, align }, column) => {
        const room = fitted[column] ?? 0;
        const cut = shorten(text, room);
        const space = ' '.repeat(room - width(cut));
        return align === 'right' ? space + paint(cut) : paint(cut) + space;
      })
      .join(gap)
      .trimEnd(),
  );
}

/** The text in no more columns than there is room, with an ellipsis where it was cut. */
function shorten(text: string, room: number): string {
  if (width(text) <= room) return text;
  let kept = '';
  for (const character of text) {
    if (width(kept + character) > room - 1) break;
    kept += character;
  }
  return `${kept}…`;
}
