import type { ElkPort } from 'elkjs/lib/elk-api.js';
import type { TableBox } from './boxes.ts';
import { endsOf, type Line } from './drawing.ts';

interface End {
  readonly table: string;
  readonly port: string;
  readonly side: 'EAST' | 'WEST';
  readonly y: number;
}

/** Where a line leaves its tables, from left to right. */
export interface Plan {
  readonly id: string;
  readonly left: End;
  readonly right: End;
  /** The line starts at the right end. */
  readonly isReversed: boolean;
}

/** A line joins the sides that face each other; that of a table with itself stays on one side. */
export function planOf(
  of: Line['of'],
  {
    index,
    lines,
    columns,
    boxes,
  }: {
    readonly index: number;
    readonly lines: readonly Line['of'][];
    readonly columns: ReadonlyMap<string, number>;
    readonly boxes: readonly TableBox[];
  },
): Plan {
  const id = String(index);
  const [from, to] = endsOf(of);
  const isReversed = (columns.get(from) ?? 0) > (columns.get(to) ?? 0);
  const end = (table: string, side: End['side'], y: number): End => ({
    table,
    port: `${table} ${side} ${y}`,
    side,
    y,
  });
  const fromY = startY(of, { lines, boxes });
  const toY = of.kind === 'reference' ? rowY(boxes, to, of.columns[0]) : titleY;
  if (from === to) {
    return { id, left: end(from, 'EAST', fromY), right: end(to, 'EAST', toY), isReversed };
  }
  const ends = [
    end(from, isReversed ? 'WEST' : 'EAST', fromY),
    end(to, isReversed ? 'EAST' : 'WEST', toY),
  ] as const;
  return isReversed
    ? { id, left: ends[1], right: ends[0], isReversed }
    : { id, left: ends[0], right: ends[1], isReversed };
}

/** Lines to one column start together, those of "exactly one" above those of "zero or one". */
function startY(
  of: Line['of'],
  { lines, boxes }: { readonly lines: readonly Line['of'][]; readonly boxes: readonly TableBox[] },
): number {
  if (of.kind === 'reading') return titleY;
  const [column] = of.referencedColumns;
  const y = rowY(boxes, of.references, column);
  const isMixed = lines.some(
    (other) =>
      other.kind === 'reference' &&
      other.references === of.references &&
      other.referencedColumns[0] === column &&
      other.referenced !== of.referenced,
  );
  if (!isMixed) return y;
  return of.referenced === 'exactly one' ? y - 5 : y + 5;
}

/** The middle of the title. */
const titleY = 16;

function rowY(boxes: readonly TableBox[], table: string, column: string | undefined): number {
  const rows = boxes.find((box) => box.table.name === table)?.rows;
  return rows?.find((row) => row.column.name === column)?.y ?? titleY;
}

/** The places on the sides of a box where lines end. */
export function portsOf({ table, width }: TableBox, plans: readonly Plan[]): ElkPort[] {
  const ends = plans
    .flatMap(({ left, right }) => [left, right])
    .filter((end) => end.table === table.name);
  return [...new Map(ends.map((end) => [end.port, end])).values()].map(({ port, side, y }) => ({
    id: port,
    x: side === 'EAST' ? width : 0,
    y,
    width: 0,
    height: 0,
    layoutOptions: { 'elk.port.side': side },
  }));
}
