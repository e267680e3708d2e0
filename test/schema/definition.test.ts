import { expect, it } from 'vitest';
import type { MigrationPair } from '../../src/migrations/source.ts';
import { definedIn } from '../../src/schema/definition.ts';
import type { ObjectDifference } from '../../src/schema/snapshot/difference.ts';

const texts = [
  'create table coins (symbol text); create function rank_of(coin text) returns int …',
  'alter table coins add column rank int',
  "select add_retention_policy('prices', interval '5 years')",
  "select add_job('public.clean_up', '1 day'); create table \"Odd Name\" ()",
  'alter table coins_archive add column name text',
];
const pairs = texts.map((text, index): MigrationPair => {
  const version = `2026010${index + 1}_120000`;
  const up = { name: `${index}.sql`, text, checksum: '' } as MigrationPair['up'];
  return { version, description: '', up, down: up };
});
const removed = (kind: ObjectDifference['kind'], name: string): ObjectDifference => ({
  change: 'removed',
  kind,
  name,
});
const changed = (name: string, ...columns: readonly string[]): ObjectDifference => ({
  ...{ change: 'changed', kind: 'table', name, facts: [] },
  parts: columns.map((column) => ({
    ...{ change: 'added', kind: 'column', name: column, summary: 'text' },
  })),
});

it.each<[string, ObjectDifference, ...string[]]>([
  ['a table', removed('table', 'public.coins'), '1.sql'],
  ['a column that a migration names', changed('public.coins', 'symbol'), '0.sql'],
  ['a column that none names', changed('public.coins', 'by_hand'), '1.sql'],
  ['two columns', changed('public.coins', 'symbol', 'rank'), '0.sql', '1.sql'],
  ['a function', removed('function', 'public.rank_of(coin text)'), '0.sql'],
  ['a quoted name', removed('table', 'public."Odd Name"'), '3.sql'],
  ['a policy', removed('job', 'policy_retention on public.prices'), '2.sql'],
  [
    'a second policy of the same name',
    removed('job', 'policy_retention on public.prices (2)'),
    '2.sql',
  ],
  ['an action', removed('job', 'public.clean_up'), '3.sql'],
  ['an object made by hand', removed('view', 'public.extra')],
])('names the newest migration that names %s', (_, difference, ...files) => {
  expect(definedIn(difference, pairs)).toEqual(files);
});
