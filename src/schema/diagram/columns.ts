/** A box of the picture and the boxes that should stand to its left. */
export interface Box {
  readonly id: string;
  readonly height: number;
  readonly after: readonly string[];
}

/**
 * Puts boxes that lines join into columns: a box stands to the right of those that it comes after, as near as there is
 * room, and a box that comes after none stands where there is most room. Where a chain is longer than there are columns,
 * it turns back to the left: the boxes that a line joins are never in one column. `height` is that of everything that the
 * columns have to hold. The column of each box, from 0.
 */
export function assignColumns(
  boxes: readonly Box[],
  { columns: count, height: whole }: { readonly columns: number; readonly height: number },
): ReadonlyMap<string, number> {
  const { order, before } = inOrder(boxes);
  const rests = restsOf(order, before);
  const heights = Array<number>(count).fill(0);
  const columns = new Map<string, number>();
  for (const box of order) {
    const taken = before(box).map((id) => columns.get(id) ?? 0);
    const first = Math.max(-1, ...taken) + 1;
    const last = Math.max(first, count - 1 - (rests.get(box.id) ?? 0));
    const all = heights.map((height, column) => ({ height, column }));
    const right = all.slice(first, last + 1);
    const open = right.length > 0 ? right : all.filter(({ column }) => !taken.includes(column));
    const isNear = ({ height }: { height: number }) => height + box.height / 2 <= whole / count;
    const near = first === 0 ? undefined : open.find(isNear);
    const column = near?.column ?? lowest(open) ?? heights.length;
    columns.set(box.id, column);
    heights[column] = (heights[column] ?? 0) + box.height;
  }
  return columns;
}

interface Stack {
  readonly height: number;
  readonly column: number;
}

function lowest([first, ...others]: readonly Stack[]): number | undefined {
  return others.reduce((low, each) => (low && each.height < low.height ? each : low), first)
    ?.column;
}

/** How many boxes stand one after the other, at most. */
export function longestChain(boxes: readonly Box[]): number {
  const { order, before } = inOrder(boxes);
  return Math.max(0, ...restsOf(order, before).values()) + 1;
}

interface Order {
  readonly order: readonly Box[];
  /** Those that a box comes after, without those that stand behind it on a circle. */
  readonly before: (box: Box) => readonly string[];
}

/** Each box after those that it comes after; where there is a circle, in the order given. */
function inOrder(boxes: readonly Box[]): Order {
  const byId = new Map(boxes.map((box) => [box.id, box]));
  const seen = new Set<string>();
  const order: Box[] = [];
  const visit = (box: Box): void => {
    if (seen.has(box.id)) return;
    seen.add(box.id);
    for (const id of box.after) {
      const other = byId.get(id);
      if (other) visit(other);
    }
    order.push(box);
  };
  for (const box of boxes) visit(box);
  const place = new Map(order.map(({ id }, index) => [id, index]));
  const placeOf = (id: string) => place.get(id) ?? order.length;
  return { order, before: ({ id, after }) => after.filter((each) => placeOf(each) < placeOf(id)) };
}

/** How many boxes stand one after the other behind each box, at most. */
function restsOf(order: readonly Box[], before: Order['before']): ReadonlyMap<string, number> {
  const rests = new Map(order.map(({ id }) => [id, 0]));
  for (const box of [...order].reverse()) {
    const own = rests.get(box.id) ?? 0;
    for (const id of before(box)) rests.set(id, Math.max(rests.get(id) ?? 0, own + 1));
  }
  return rests;
}
