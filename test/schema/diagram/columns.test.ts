import { expect, it } from 'vitest';
import { assignColumns, type Box, longestChain } from '../../../src/schema/diagram/columns.ts';

const box = (id: string, ...after: readonly string[]): Box => ({ id, height: 100, after });
const assign = (boxes: readonly Box[], columns: number) =>
  Object.fromEntries(assignColumns(boxes, { columns, height: boxes.length * 100 }));

it('puts each box to the right of those that it comes after', () => {
  const boxes = [box('leaf', 'middle', 'root'), box('middle', 'root'), box('root')];
  expect(longestChain(boxes)).toBe(3);
  expect(assign(boxes, 3)).toEqual({ root: 0, middle: 1, leaf: 2 });
});

it('keeps columns about as high as one another', () => {
  const boxes = [box('root'), ...['a', 'b', 'c', 'd', 'e'].map((id) => box(id, 'root'))];
  const columns = Object.values(assign(boxes, 3));
  const counts = [0, 1, 2].map((at) => columns.filter((column) => column === at).length);
  expect(counts).toEqual([1, 3, 2]);
});

it('turns a chain that is longer than the columns back, with no two neighbours in one column', () => {
  const names = Array.from({ length: 10 }, (_, index) => `b${index}`);
  const boxes = names.map((id, index) => box(id, ...names.slice(Math.max(0, index - 1), index)));
  const columns = assign(boxes, 3);
  expect(Math.max(...Object.values(columns))).toBe(2);
  const neighbours = names.slice(1).map((id, index) => [columns[names[index] ?? ''], columns[id]]);
  expect(neighbours.filter(([one, other]) => one === other)).toEqual([]);
});

it('places boxes on a circle, and opens a column where each is taken', () => {
  expect(assign([box('a', 'c'), box('b', 'a'), box('c', 'b')], 3)).toEqual({ b: 0, c: 1, a: 2 });
  expect(assign([box('a'), box('b', 'a'), box('c', 'a', 'b')], 2)).toEqual({ a: 0, b: 1, c: 2 });
});
