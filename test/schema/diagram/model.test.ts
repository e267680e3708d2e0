import { describe, expect, it } from 'vitest';
import { diagramOf, selectTables } from '../../../src/schema/diagram/model.ts';
import { loadGrammar } from '../../../src/sql/parse.ts';
import { relationOf, snapshotOf } from '../../support/snapshots.ts';

const { parse } = await loadGrammar();

const users = relationOf('public.users', {
  columns: ['id bigint!', 'email text!', 'name text'],
  constraints: ['PRIMARY KEY (id)', 'UNIQUE (email)', 'UNIQUE (id, name)'],
});

describe('the cardinality of a foreign key', () => {
  const userKey = 'FOREIGN KEY (user_id) REFERENCES public.users(id)';
  const unique = (rest: string) => `CREATE UNIQUE INDEX i ON public.t USING btree ${rest}`;

  it.each([
    ['is one to many', { columns: ['user_id bigint!'] }, 'zero or many', 'exactly one'],
    [
      'is none or one to many for a column that may be NULL',
      { columns: ['user_id bigint'] },
      'zero or many',
      'zero or one',
    ],
    [
      'is one to one for a unique column',
      { columns: ['user_id bigint!'], constraints: ['UNIQUE (user_id)'] },
      'zero or one',
      'exactly one',
    ],
    [
      'is one to one for a column that is the primary key',
      { columns: ['user_id bigint!'], constraints: ['PRIMARY KEY (user_id)'] },
      'zero or one',
      'exactly one',
    ],
    [
      'is one to one for a unique index over all rows',
      { columns: ['user_id bigint'], indexes: [unique('(user_id)')] },
      'zero or one',
      'zero or one',
    ],
    [
      'is one to many for a unique index over some rows',
      { columns: ['user_id bigint!'], indexes: [unique('(user_id) WHERE is_active')] },
      'zero or many',
      'exactly one',
    ],
    [
      'is one to many for a column that is unique together with another one',
      { columns: ['user_id bigint!', 'n int!'], constraints: ['PRIMARY KEY (user_id, n)'] },
      'zero or many',
      'exactly one',
    ],
    [
      'is one to many for a domain that is never NULL',
      { columns: ['user_id app.some_id'] },
      'zero or many',
      'exactly one',
    ],
  ])(
    '%s',
    (_, {
      columns,
      constraints = [],
      indexes = [],
    }: Parameters<typeof relationOf>[1], referencing, referenced) => {
      const table = relationOf('public.t', {
        columns: columns ?? [],
        constraints: [userKey, ...constraints],
        indexes,
      });
      const base = {
        kind: 'type',
        name: 'app.base_id',
        facts: { kind: 'domain', of: 'bigint', 'not null': true },
        parts: [],
      } as const;
      const domain = {
        kind: 'type',
        name: 'app.some_id',
        facts: { kind: 'domain', of: 'app.base_id' },
        parts: [],
      } as const;
      const { references } = diagramOf(snapshotOf(base, domain, table, users), parse);
      expect(references).toEqual([
        {
          name: 'c1',
          table: 'public.t',
          columns: ['user_id'],
          references: 'public.users',
          referencedColumns: ['id'],
          referencing,
          referenced,
        },
      ]);
    },
  );

  it('of several columns is one to one when some of them are unique, and exactly one when none can be NULL', () => {
    const key = 'FOREIGN KEY (a, b) REFERENCES public.pairs(x, y)';
    const pairs = relationOf('public.pairs', {
      columns: ['x int!', 'y int!'],
      constraints: ['PRIMARY KEY (x, y)'],
    });
    const referencesOf = (columns: readonly string[], ...constraints: readonly string[]) =>
      diagramOf(
        snapshotOf(pairs, relationOf('public.t', { columns, constraints: [key, ...constraints] })),
        parse,
      ).references.map(({ referencing, referenced }) => [referencing, referenced]);
    expect(referencesOf(['a int!', 'b int!'])).toEqual([['zero or many', 'exactly one']]);
    expect(referencesOf(['a int!', 'b int'])).toEqual([['zero or many', 'zero or one']]);
    expect(referencesOf(['a int!', 'b int!'], 'UNIQUE (b)')).toEqual([
      ['zero or one', 'exactly one'],
    ]);
    expect(referencesOf(['a int!', 'b int!', 'c int!'], 'UNIQUE (b, c)')).toEqual([
      ['zero or many', 'exactly one'],
    ]);
  });
});

it('finds keys to the table itself and two keys to one table', () => {
  const table = relationOf('public.transfers', {
    columns: ['id bigint!', 'parent bigint', '"from" bigint!', '"to" bigint!'],
    constraints: [
      'PRIMARY KEY (id)',
      'FOREIGN KEY (parent) REFERENCES public.transfers(id)',
      'FOREIGN KEY ("from") REFERENCES public.users(id)',
      'FOREIGN KEY ("to") REFERENCES public.users(id)',
    ],
  });
  const { references, tables } = diagramOf(snapshotOf(users, table), parse);
  expect(references.map((each) => [each.columns, each.references])).toEqual([
    [['parent'], 'public.transfers'],
    [['from'], 'public.users'],
    [['to'], 'public.users'],
  ]);
  const [transfers] = tables;
  expect(
    transfers?.columns.map(({ name, isPrimary, isForeign }) => [name, isPrimary, isForeign]),
  ).toEqual([
    ['id', true, false],
    ['parent', false, true],
    ['from', false, true],
    ['to', false, true],
  ]);
});

it('marks each column of a primary key, and a unique column only where it is so alone', () => {
  const [table] = diagramOf(snapshotOf(users), parse).tables;
  expect(
    table?.columns.map(({ name, isPrimary, isUnique }) => [name, isPrimary, isUnique]),
  ).toEqual([
    ['id', true, true],
    ['email', false, true],
    ['name', false, false],
  ]);
});

it('shows a partitioned table without its partitions, which lead to it', () => {
  const whole = relationOf('public.events', {
    facts: { kind: 'partitioned table', 'partition key': 'RANGE (day)' },
    columns: ['id bigint!', 'user_id bigint!'],
    constraints: ['PRIMARY KEY (id)', 'FOREIGN KEY (user_id) REFERENCES public.users(id)'],
  });
  const part = relationOf('public.events_1', {
    facts: { kind: 'partitioned table', 'partition of': 'public.events' },
    columns: ['id bigint!', 'user_id bigint!'],
    constraints: ['PRIMARY KEY (id)', 'FOREIGN KEY (user_id) REFERENCES public.users(id)'],
  });
  const leaf = relationOf('public.events_1_1', { facts: { 'partition of': 'public.events_1' } });
  const notes = relationOf('public.notes', {
    columns: ['event bigint!'],
    constraints: ['FOREIGN KEY (event) REFERENCES public.events_1_1(id)'],
  });
  const { tables, references } = diagramOf(snapshotOf(leaf, part, whole, notes, users), parse);
  expect(tables.map(({ title, kind }) => [title, kind])).toEqual([
    ['events', 'partitioned table'],
    ['notes', 'table'],
    ['users', 'table'],
  ]);
  expect(references.map((each) => [each.table, each.references])).toEqual([
    ['public.events', 'public.users'],
    ['public.notes', 'public.events'],
  ]);
});

it('marks hypertables and aggregates, and says what views read', () => {
  const prices = relationOf('public.prices', {
    facts: { hypertable: ['"time" every 7 days'] },
    columns: ['"time" timestamp with time zone!'],
    constraints: ['PRIMARY KEY ("time")'],
  });
  const marks = relationOf('app."Marks"', {
    columns: ['at timestamp with time zone!'],
    constraints: ['FOREIGN KEY (at) REFERENCES public.prices("time")'],
  });
  const daily = relationOf('public.daily', {
    kind: 'view',
    facts: { kind: 'continuous aggregate', query: 'SELECT 1 FROM public.prices' },
  });
  const both = relationOf('public.both', {
    kind: 'view',
    facts: {
      query: `WITH p AS (SELECT * FROM public.daily) SELECT 'public.users' FROM app."Marks" m JOIN p ON EXISTS (SELECT 1 FROM pg_catalog.pg_class)`,
    },
  });
  const { tables, readings, references } = diagramOf(
    snapshotOf(prices, marks, daily, both, users),
    parse,
  );
  expect(tables.map(({ title, kind }) => [title, kind])).toEqual([
    ['app.Marks', 'table'],
    ['both', 'view'],
    ['daily', 'continuous aggregate'],
    ['prices', 'hypertable'],
    ['users', 'table'],
  ]);
  expect(references.map((each) => [each.table, each.references])).toEqual([
    ['app."Marks"', 'public.prices'],
  ]);
  expect(readings).toEqual([
    { view: 'public.both', reads: 'app."Marks"' },
    { view: 'public.both', reads: 'public.daily' },
    { view: 'public.daily', reads: 'public.prices' },
  ]);
});

it('selects tables by their names, with or without schema and quotes, and says which are not there', () => {
  const odd = relationOf('public."Odd Name"', {
    columns: ['id bigint!'],
    constraints: ['FOREIGN KEY (id) REFERENCES public.users(id)'],
  });
  const app = relationOf('app.coins', {});
  const diagram = diagramOf(snapshotOf(odd, app, users), parse);
  const select = (...words: readonly string[]) => {
    const { diagram: selected, unknown } = selectTables(diagram, words);
    return [selected.tables.map(({ title }) => title), selected.references.length, unknown];
  };
  expect(select('users', 'Odd Name')).toEqual([['Odd Name', 'users'], 1, []]);
  expect(select('"Odd Name"')).toEqual([['Odd Name'], 0, []]);
  expect(select('public.users', 'app.coins')).toEqual([['app.coins', 'users'], 0, []]);
  expect(select('coins', 'users', 'user')).toEqual([['users'], 0, ['coins', 'user']]);
});
