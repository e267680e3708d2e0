import type { ELK, ElkExtendedEdge, ElkNode } from 'elkjs/lib/elk-api.js';
import { boxOf, type TableBox } from './boxes.ts';
import { assignColumns, type Box, longestChain } from './columns.ts';
import {
  columnGap,
  type Drawing,
  endsOf,
  type Layout,
  type Line,
  lineGap,
  type PlacedBox,
  rowGap,
} from './drawing.ts';
import { fillUp } from './fill.ts';
import type { Diagram, DiagramTable } from './model.ts';
import { type Plan, planOf, portsOf } from './plans.ts';

/** What the picture's width is to its height, roughly. A page is higher than it is wide. */
const aspect = 0.8;
const usualWidth = 300;

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
