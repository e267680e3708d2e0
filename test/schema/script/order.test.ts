import { expect, it } from 'vitest';
import { orderObjects, partKey } from '../../../src/schema/script/order.ts';
import type { Dependency } from '../../../src/schema/script/source.ts';
import { objectKinds, type SchemaObject } from '../../../src/schema/snapshot/snapshot.ts';

const object = (key: string): SchemaObject => {
  const [word, name = ''] = key.split(' ');
  const kind = objectKinds.find((each) => each === word) ?? 'table';
  return { kind, name, facts: {}, parts: [] };
};
const needs = (object: string, on: string, part: string | null = null): Dependency => ({
  object,
  part,
  on,
});
const order = (keys: readonly string[], dependencies: readonly Dependency[]) => {
  const { objects, late } = orderObjects(keys.map(object), dependencies);
  return { keys: objects.map(({ kind, name }) => `${kind} ${name}`), late: [...late] };
};

it('keeps the order given where nothing asks for another one', () => {
  const keys = ['type t', 'function f', 'table a', 'table b', 'view v'];
  const dependencies = [needs('table a', 'type t'), needs('view v', 'table b')];
  expect(order(keys, dependencies)).toEqual({ keys, late: [] });
});

it('puts an object right after what it needs, with the dependencies in any order', () => {
  const keys = ['function f', 'table a', 'table b', 'view v', 'view w'];
  const dependencies = [
    needs('function f', 'view w'),
    needs('view w', 'table b'),
    needs('view w', 'view v'),
    needs('view v', 'table a'),
  ];
  const expected = ['table b', 'table a', 'view v', 'view w', 'function f'];
  expect(order(keys, dependencies).keys).toEqual(expected);
  expect(order(keys, dependencies.toReversed()).keys).toEqual(expected);
});

it('makes a part with its table, and what the part needs before', () => {
  const keys = ['table a', 'table b'];
  const dependencies = [needs('table a', 'table b', 'constraint c')];
  expect(order(keys, dependencies)).toEqual({ keys: ['table b', 'table a'], late: [] });
});

it('makes a part later that needs an object which needs the table', () => {
  const keys = ['function f', 'table a', 'view v'];
  const dependencies = [
    needs('function f', 'view v'),
    needs('view v', 'table a'),
    needs('table a', 'function f', 'constraint c'),
    needs('table a', 'function f', 'default x'),
  ];
  expect(order(keys, dependencies)).toEqual({
    keys: ['table a', 'view v', 'function f'],
    late: [partKey('table a', 'constraint c'), partKey('table a', 'default x')],
  });
});

it('passes over what the snapshot does not have', () => {
  const dependencies = [needs('table a', 'sequence hidden'), needs('table hidden', 'table a')];
  expect(order(['table a'], dependencies)).toEqual({ keys: ['table a'], late: [] });
});
