import { expect, it } from 'vitest';
import { compareSnapshots } from '../../../src/schema/snapshot/difference.ts';
import type { Facts, Part, SchemaObject } from '../../../src/schema/snapshot/snapshot.ts';

const table = (name: string, parts: readonly Part[], facts: Facts = {}): SchemaObject => ({
  kind: 'table',
  name: `public.${name}`,
  facts,
  parts,
});
const column = (name: string, facts: Facts = {}): Part => ({
  kind: 'column',
  name,
  facts: { type: 'text', ...facts },
});
const snapshotOf = (objects: readonly SchemaObject[]) =>
  ({ format: 1, owners: false, grants: false, objects }) as const;
const compare = (before: readonly SchemaObject[], after: readonly SchemaObject[]) =>
  compareSnapshots(snapshotOf(before), snapshotOf(after));

it('equal schemas have no difference, also with their objects in another order', () => {
  const [a, b] = [table('a', [column('x')]), table('b', [column('y')])];
  expect(compare([a, b], [b, a])).toEqual([]);
});

it('names objects that are there on one side only', () => {
  expect(compare([table('old', [])], [table('new', [])])).toEqual([
    { change: 'added', kind: 'table', name: 'public.new' },
    { change: 'removed', kind: 'table', name: 'public.old' },
  ]);
});

it('names both values of a fact, and what a part was', () => {
  const index: Part = { kind: 'index', name: 'i', facts: { definition: 'CREATE INDEX i' } };
  const before = table('coins', [column('x', { default: '1' }), index], { comment: 'old' });
  const after = table('coins', [column('x', { default: '2' }), column('y', { 'not null': true })]);
  expect(compare([before], [after])).toEqual([
    {
      change: 'changed',
      kind: 'table',
      name: 'public.coins',
      facts: [{ fact: 'comment', before: 'old', after: undefined }],
      parts: [
        {
          change: 'changed',
          kind: 'column',
          name: 'x',
          facts: [{ fact: 'default', before: '1', after: '2' }],
        },
        { change: 'added', kind: 'column', name: 'y', summary: 'text, not null' },
        { change: 'removed', kind: 'index', name: 'i', summary: 'CREATE INDEX i' },
      ],
    },
  ]);
});

it('a new column between two others is no other order, and two columns that changed places are', () => {
  const names = (...columns: readonly string[]) =>
    table(
      't',
      columns.map((name) => column(name)),
    );
  expect(compare([names('a', 'b')], [names('a', 'new', 'b')])).toMatchObject([{ facts: [] }]);
  expect(compare([names('a', 'b')], [names('b', 'a')])).toMatchObject([
    { facts: [{ fact: 'order of columns', before: ['a', 'b'], after: ['b', 'a'] }], parts: [] },
  ]);
});
