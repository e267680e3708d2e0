import type { ELK, ElkExtendedEdge, ElkNode, ElkPort } from 'elkjs/lib/elk-api.js';
import { boxOf, type TableBox } from './boxes.ts';
import { assignColumns, type Box, longestChain } from './columns.ts';
import type { Diagram, DiagramTable, Reading, Reference } from './model.ts';

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface PlacedBox extends TableBox, Point {}

/** A line from the table that is referenced, or read, to the one that references, or reads. */
export interface Line {
  readonly of:
    | ({ readonly kind: 'reference' } & Reference)
    | ({ readonly kind: 'reading' } & Reading);
  /** Each stretch is horizontal or vertical; the first and the last are horizontal. */
  readonly points: readonly Point[];
}

interface Drawing {
  readonly boxes: readonly PlacedBox[];
  readonly lines: readonly Line[];
}

export interface Layout extends Drawing {
  readonly width: number;
  readonly height: number;
}

/** What the picture's width is to its height, roughly. A page is higher than it is wide. */
const aspect = 0.8;
const usualWidth = 300;
const columnGap = 60;
const rowGap = 22;
/** Between a line and a box that it passes. */
const lineGap = 16;

/**
 * Places the tables, and leads the lines between them. ELK places the tables that lines join; the others fill the room
 * below them. The same diagram has the same layout.
 */
export async function layOut(diagram: Diagram): Promise<Layout> {
  const lines: readonly Line['of'][] = [
    ...diagram.references.map((each) => ({ kind: 'reference', ...each }) as const),
    ...diagram.readings.map((each) => ({ kind: 'reading', ...each }) as const),
  ];
  const joined = new Set(lines.flatMap(endsOf));
  const sizes = sizesOf(diagram.tables);
  const count = columnCount(sizes);
  const drawing = await layOutJoined(
    sizes.filter(({ table }) => joined.has(table.name)),
    { lines, count, height: sizes.reduce((sum, box) => sum + box.height + rowGap, 0) },
  );
  const others = sizes.filter(({ table }) => !joined.has(table.name));
  return fillUp(drawing, { others, count });
}

/** Boxes of one width, but for those that need more than most tables do. */
function sizesOf(tables: readonly DiagramTable[]): readonly TableBox[] {
  const widths = tables.map((table) => boxOf(table).width).filter((width) => width <= usualWidth);
  return tables.map((table) => boxOf(table, Math.max(0, ...widths)));
}

/** The tables that a line starts and ends at. */
function endsOf(of: Line['of']): readonly [from: string, to: string] {
  return of.kind === 'reference' ? [of.references, of.table] : [of.reads, of.view];
}

function columnCount(boxes: readonly TableBox[]): number {
  const height = boxes.reduce((sum, box) => sum + box.height + rowGap, 0);
  const width = boxes.reduce((sum, box) => sum + box.width + columnGap, 0) / (boxes.length || 1);
  const even = Math.round(Math.sqrt((aspect * height) / (width || 1)));
  return Math.min(Math.max(1, even), boxes.length);
}

async function layOutJoined(
  sizes: readonly TableBox[],
  {
    lines,
    count,
    height,
  }: { readonly lines: readonly Line['of'][]; readonly count: number; readonly height: number },
): Promise<Drawing> {
  if (sizes.length === 0) return { boxes: [], lines: [] };
  const ranks = rankGroups(sizes, lines);
  const rankOf = (name: string) => ranks.get(name) ?? 0;
  const largestFirst = [...sizes].sort((a, b) => rankOf(a.table.name) - rankOf(b.table.name));
  const boxesInOrder = largestFirst.map(
    (box): Box => ({
      id: box.table.name,
      height: box.height + rowGap,
      after: lines.flatMap((of) => {
        const [from, to] = endsOf(of);
        return to === box.table.name && from !== to ? [from] : [];
      }),
    }),
  );
  const most = Math.max(4, Math.ceil(1.5 * count));
  const columns = assignColumns(boxesInOrder, {
    columns: Math.min(most, Math.max(count, longestChain(boxesInOrder))),
    height,
  });
  const columnOf = (name: string) => columns.get(name) ?? 0;
  const boxes = sizes.map((box) => {
    const beside = sizes.filter(({ table }) => columnOf(table.name) === columnOf(box.table.name));
    return boxOf(box.table, Math.max(...beside.map(({ width }) => width)));
  });
  const plans = lines.map((of, index) => planOf(of, { index, lines, columns, boxes }));
  const nodes = boxes.map((box) => nodeOf(box, { column: columnOf(box.table.name), plans }));
  const edges = plans.map(
    ({ id, left, right }): ElkExtendedEdge => ({
      id,
      sources: [left.port],
      targets: [right.port],
    }),
  );
  const elk = await loadElk();
  const first = await elk.layout({ id: 'first', layoutOptions, children: nodes, edges });
  const ordered = [...(first.children ?? [])].sort(
    (a, b) => rankOf(a.id) - rankOf(b.id) || (a.y ?? 0) - (b.y ?? 0),
  );
  const children = ordered.flatMap(({ id }) => nodes.find((node) => node.id === id) ?? []);
  let graph: ElkNode = first;
  let fillers: ReadonlyMap<number, number> = new Map();
  for (let pass = 0; pass < mostPasses; pass += 1) {
    const tops = topsOf(graph, columns);
    const highest = Math.min(...tops.values());
    if (pass > 0 && [...tops.values()].every((top) => top - highest < 1)) break;
    fillers = new Map(
      [...tops].map(([column, top]) => [column, (fillers.get(column) ?? 1) + 2 * (top - highest)]),
    );
    graph = await elk.layout({
      id: 'ordered',
      layoutOptions: { ...layoutOptions, ...keepOrder },
      children: [...children, ...[...fillers].map(fillerOf)],
      edges,
    });
  }
  return placed(graph, { boxes, lines, plans });
}

/**
 * ELK centres each column. A box at the end of the shorter ones lets all of them start at the top; lines that then take
 * another way can change a column once more.
 */
const mostPasses = 3;

function topsOf(
  { children = [] }: ElkNode,
  columns: ReadonlyMap<string, number>,
): ReadonlyMap<number, number> {
  const tops = new Map<number, number>();
  for (const { id, y = 0 } of children) {
    const column = columns.get(id);
    if (column !== undefined) tops.set(column, Math.min(y, tops.get(column) ?? y));
  }
  return tops;
}

function fillerOf([column, height]: readonly [column: number, height: number]): ElkNode {
  const layoutOptions = { 'elk.partitioning.partition': String(column) };
  return { id: `filler ${column}`, width: 1, height, layoutOptions };
}

/** A CommonJS module of 1.6 MB, which has its class as `default`. */
async function loadElk(): Promise<ELK> {
  const { default: elk } = await import('elkjs/lib/elk.bundled.js');
  return new elk.default();
}

const layoutOptions = {
  'elk.algorithm': 'layered',
  'elk.direction': 'RIGHT',
  'elk.edgeRouting': 'ORTHOGONAL',
  'elk.partitioning.activate': 'true',
  'elk.separateConnectedComponents': 'false',
  'elk.randomSeed': '1',
  'elk.padding': '[top=0,left=0,bottom=0,right=0]',
  'elk.spacing.nodeNode': String(rowGap),
  'elk.spacing.edgeNode': String(lineGap),
  'elk.spacing.edgeEdge': '9',
  'elk.spacing.nodeSelfLoop': '26',
  'elk.layered.spacing.nodeNodeBetweenLayers': String(columnGap),
  'elk.layered.spacing.edgeNodeBetweenLayers': '22',
  'elk.layered.spacing.edgeEdgeBetweenLayers': '9',
  'elk.layered.nodePlacement.strategy': 'SIMPLE',
};

const keepOrder = {
  'elk.layered.considerModelOrder.strategy': 'NODES_AND_EDGES',
  'elk.layered.crossingMinimization.forceNodeModelOrder': 'true',
};

function nodeOf(
  box: TableBox,
  { column, plans }: { readonly column: number; readonly plans: readonly Plan[] },
): ElkNode {
  return {
    id: box.table.name,
    width: box.width,
    height: box.height,
    layoutOptions: {
      'elk.portConstraints': 'FIXED_POS',
      'elk.partitioning.partition': String(column),
    },
    ports: portsOf(box, plans),
  };
}

/** Tables that lines join make a group. The rank of each table's group: 0 for the largest. */
function rankGroups(
  boxes: readonly TableBox[],
  lines: readonly Line['of'][],
): ReadonlyMap<string, number> {
  const groupOf = new Map(boxes.map(({ table }, index) => [table.name, index]));
  for (const [from, to] of lines.map(endsOf)) {
    const [kept, given] = [groupOf.get(from) ?? 0, groupOf.get(to) ?? 0];
    for (const [name, group] of groupOf) if (group === given) groupOf.set(name, kept);
  }
  const sizes = new Map<number, number>();
  for (const group of groupOf.values()) sizes.set(group, (sizes.get(group) ?? 0) + 1);
  const ranked = [...sizes].sort(([, a], [, b]) => b - a).map(([group]) => group);
  return new Map([...groupOf].map(([name, group]) => [name, ranked.indexOf(group)]));
}

interface Column {
  readonly x: number;
  readonly width: number;
  /** Where the next box can stand. */
  readonly top: number;
}

/** Puts the other boxes, the highest first, into the column with the most room; new columns stand at the right. */
function fillUp(
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

interface End {
  readonly table: string;
  readonly port: string;
  readonly side: 'EAST' | 'WEST';
  readonly y: number;
}

interface Plan {
  readonly id: string;
  readonly left: End;
  readonly right: End;
  /** The line starts at the right end. */
  readonly isReversed: boolean;
}

/** A line joins the sides that face each other; that of a table with itself stays on one side. */
function planOf(
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

function portsOf({ table, width }: TableBox, plans: readonly Plan[]): ElkPort[] {
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

function placed(
  { children = [], edges = [] }: ElkNode,
  {
    boxes,
    lines,
    plans,
  }: {
    readonly boxes: readonly TableBox[];
    readonly lines: readonly Line['of'][];
    readonly plans: readonly Plan[];
  },
): Drawing {
  const nodes = new Map(children.map((node) => [node.id, node]));
  const edgeOf = new Map(edges.map((edge) => [edge.id, edge]));
  const placedBoxes = boxes.map((box): PlacedBox => {
    const { x = 0, y = 0 } = nodes.get(box.table.name) ?? {};
    return { ...box, x, y };
  });
  const placedLines = lines.flatMap((of, index): Line[] => {
    const [section] = edgeOf.get(String(index))?.sections ?? [];
    if (!section) return [];
    const points = [section.startPoint, ...(section.bendPoints ?? []), section.endPoint];
    return [{ of, points: plans[index]?.isReversed ? points.reverse() : points }];
  });
  return { boxes: placedBoxes, lines: placedLines };
}

function sizeOf({ boxes, lines }: Drawing): Pick<Layout, 'width' | 'height'> {
  const points = lines.flatMap((line) => line.points);
  return {
    width: Math.max(0, ...boxes.map((box) => box.x + box.width), ...points.map(({ x }) => x)),
    height: Math.max(0, ...boxes.map((box) => box.y + box.height), ...points.map(({ y }) => y)),
  };
}
