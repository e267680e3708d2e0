import { describe, expect, it } from 'vitest';
import type { Layout } from '../../../src/schema/diagram/drawing.ts';
import { layOut } from '../../../src/schema/diagram/layout.ts';
import { diagramOf } from '../../../src/schema/diagram/model.ts';
import { renderSvg } from '../../../src/schema/diagram/svg.ts';
import type { SchemaObject } from '../../../src/schema/snapshot/snapshot.ts';
import { loadGrammar } from '../../../src/sql/parse.ts';
import { relationOf, snapshotOf } from '../../support/snapshots.ts';

const { parse } = await loadGrammar();
const layoutOf = (objects: readonly SchemaObject[]) =>
  layOut(diagramOf(snapshotOf(...objects), parse));
const draw = async (objects: readonly SchemaObject[]) =>
  renderSvg(await layoutOf(objects), { title: 'Tables' });

/** A table with a key to each of the others. */
const table = (name: string, ...references: readonly string[]) =>
  relationOf(`public.${name}`, {
    columns: ['id bigint!', ...references.map((_, at) => `key_${at} bigint`), 'note text'],
    constraints: [
      'PRIMARY KEY (id)',
      ...references.map((other, at) => `FOREIGN KEY (key_${at}) REFERENCES public.${other}(id)`),
    ],
  });

/** The boxes that another box covers, and the lines that cross a box. */
function faultsOf({ boxes, lines }: Layout): readonly string[] {
  const covered = boxes.flatMap((a, at) =>
    boxes.slice(at + 1).flatMap((b) => {
      const isApart =
        a.x + a.width <= b.x ||
        b.x + b.width <= a.x ||
        a.y + a.height <= b.y ||
        b.y + b.height <= a.y;
      return isApart ? [] : [`${a.table.name} covers ${b.table.name}`];
    }),
  );
  const crossed = lines.flatMap(({ points }, at) =>
    points.slice(1).flatMap((to, index) => {
      const from = points[index] ?? to;
      const [left, right] = [Math.min(from.x, to.x), Math.max(from.x, to.x)];
      const [top, bottom] = [Math.min(from.y, to.y), Math.max(from.y, to.y)];
      return boxes
        .filter(
          ({ x, y, width, height }) =>
            right > x + 1 && left < x + width - 1 && bottom > y + 1 && top < y + height - 1,
        )
        .map((box) => `line ${at} crosses ${box.table.name}`);
    }),
  );
  return [...covered, ...crossed];
}

describe('the layout', () => {
  const names = Array.from({ length: 60 }, (_, index) => `t${index}`);
  const sixty = names.map((name, index) =>
    index % 4 === 0
      ? table(name)
      : table(name, names[index % 7] ?? '', names[Math.floor(index / 3)] ?? ''),
  );
  it.each([
    [
      'a chain',
      names.slice(0, 15).map((name, at) => table(name, ...names.slice(at ? at - 1 : at, at))),
    ],
    ['a star', names.slice(0, 20).map((name, at) => table(name, ...(at ? ['t0'] : [])))],
    [
      'a circle, a key to the table itself and two keys to one',
      [table('a', 'c', 'a'), table('b', 'a', 'a'), table('c', 'b')],
    ],
    ['tables without keys', names.slice(0, 9).map((name) => table(name))],
    ['sixty tables', sixty],
  ])('of %s has no box or line over another box, and every line', async (_, objects) => {
    const layout = await layoutOf(objects);
    expect(faultsOf(layout)).toEqual([]);
    expect(layout.boxes).toHaveLength(objects.length);
    const keys = objects.flatMap(({ parts }) =>
      parts.filter(({ facts }) => String(facts.definition).startsWith('FOREIGN')),
    );
    expect(layout.lines).toHaveLength(keys.length);
    expect(layout.width).toBeLessThan(3000);
  });

  it('leads each line from the row of one key to the row of the other', async () => {
    const { boxes, lines } = await layoutOf([table('a'), table('b', 'a')]);
    const rowOf = (name: string, column: string) => {
      const box = boxes.find((each) => each.table.title === name);
      return (box?.y ?? 0) + (box?.rows.find((row) => row.name === column)?.y ?? 0);
    };
    expect(lines.map(({ points }) => [points[0]?.y, points.at(-1)?.y])).toEqual([
      [rowOf('a', 'id'), rowOf('b', 'key_0')],
    ]);
  });
});

describe('the SVG', () => {
  it('needs nothing from outside, runs nothing, and has a dark form', async () => {
    const svg = await draw([table('a'), table('b', 'a')]);
    expect(svg).not.toMatch(/<script|@import|url\(|href|https?:(?!\/\/www\.w3\.org\/2000\/svg")/);
    expect(svg).toContain('@media (prefers-color-scheme: dark)');
    expect(svg).toContain('<title id="title">Tables</title>');
    expect(svg).toContain('<desc id="desc">2 tables and views: a, b</desc>');
  });

  it('is the same for equal schemas with their objects in another order', async () => {
    const objects = [table('a'), table('b', 'a'), table('c', 'a', 'b'), table('d')];
    const first = await draw(objects);
    expect(await draw(objects)).toBe(first);
    expect(await draw(objects.toReversed())).toBe(first);
  });

  it('escapes names and comments', async () => {
    const odd = relationOf('public."<a&\'b"""', {
      facts: { comment: 'less < more & "quoted"\u0001' },
      columns: ['"</text>" text'],
    });
    const svg = await draw([odd]);
    expect(svg).toContain(`>&lt;a&amp;'b&quot;</text>`);
    expect(svg).toContain('<title>less &lt; more &amp; &quot;quoted&quot;\ufffd</title>');
    expect(svg).toContain('&lt;/text&gt;');
    expect(svg).not.toContain('</text></text>');
  });

  it('marks keys, kinds and what may be NULL, and explains what it shows', async () => {
    const prices = relationOf('public.prices', {
      facts: { hypertable: ['t'] },
      columns: ['t timestamp with time zone!', 'price numeric(20,8)'],
      constraints: ['PRIMARY KEY (t)'],
    });
    const svg = await draw([prices]);
    expect(svg).toContain('>hypertable</text>');
    expect(svg).toContain('>numeric(20,8)?</text>');
    expect(svg).toContain('>primary key</text>');
    expect(svg).not.toContain('>foreign key</text>');
    expect(svg).not.toContain('>zero or many</text>');
  });

  it('cuts names that are too long for a box', async () => {
    const long = 'x'.repeat(63);
    const svg = await draw([relationOf(`public.${long}`, { columns: [`${long} text`] })]);
    expect(svg).toContain(`>${'x'.repeat(43)}…</text>`);
  });

  it('draws a schema without tables', async () => {
    expect(await draw([])).toContain('0 tables and views');
  });
});
