import { boxOf, type TableBox } from './boxes.ts';
import {
  columnGap,
  type Drawing,
  type Layout,
  lineGap,
  type PlacedBox,
  rowGap,
} from './drawing.ts';

interface Column {
  readonly x: number;
  readonly width: number;
  /** Where the next box can stand. */
  readonly top: number;
}

/** Puts the other boxes, the highest first, into the column with the most room; new columns stand at the right. */
export function fillUp(
  drawing: Drawing,
  { others, count }: { readonly others: readonly TableBox[]; readonly count: number },
): Layout {
  const xs = [...new Set(drawing.boxes.map(({ x }) => x))].sort((a, b) => a - b);
  const columns = xs.map((x): Column => {
    const width = Math.max(...drawing.boxes.filter((box) => box.x === x).map((box) => box.width));
    return { x, width, top: topBelow(drawing, { x, width }) };
  });
  const ordered = [...others].sort((a, b) => b.height - a.height);
  const widest = Math.max(0, ...others.map(({ width }) => width));
  while (columns.length < count) {
    const last = columns.at(-1);
    columns.push({ x: last ? last.x + last.width + columnGap / 2 : 0, width: widest, top: 0 });
  }
  const added = ordered.map(({ table, width }): PlacedBox => {
    // Nothing stands to the right of the last column, so a wide box fits there.
    const fitting = columns.filter(
      (column, index) => column.width >= width || index === columns.length - 1,
    );
    const column = fitting.reduce((low, each) => (each.top < low.top ? each : low));
    const box = { ...boxOf(table, column.width), x: column.x, y: column.top };
    columns[columns.indexOf(column)] = { ...column, top: box.y + box.height + rowGap };
    return box;
  });
  const boxes = [...drawing.boxes, ...added];
  const whole = { boxes, lines: drawing.lines };
  return { ...sizeOf(whole), ...whole };
}

/** Below all boxes and lines of the column. */
function topBelow({ boxes, lines }: Drawing, { x, width }: Pick<Column, 'x' | 'width'>): number {
  const own = boxes.filter((box) => box.x === x).map((box) => box.y + box.height + rowGap);
  const passing = lines.flatMap(({ points }) =>
    points.flatMap((point, index) => {
      const next = points[index + 1] ?? point;
      const [left, right] = [Math.min(point.x, next.x), Math.max(point.x, next.x)];
      return right >= x && left <= x + width ? [Math.max(point.y, next.y) + lineGap] : [];
    }),
  );
  return Math.max(0, ...own, ...passing);
}

function sizeOf({ boxes, lines }: Drawing): Pick<Layout, 'width' | 'height'> {
  const points = lines.flatMap((line) => line.points);
  return {
    width: Math.max(0, ...boxes.map((box) => box.x + box.width), ...points.map(({ x }) => x)),
    height: Math.max(0, ...boxes.map((box) => box.y + box.height), ...points.map(({ y }) => y)),
  };
}
