import { expect, it } from 'vitest';
import { renderMermaid } from '../../../src/schema/diagram/mermaid.ts';
import { diagramOf } from '../../../src/schema/diagram/model.ts';
import type { SchemaObject } from '../../../src/schema/snapshot/snapshot.ts';
import { loadGrammar } from '../../../src/sql/parse.ts';
import { relationOf, snapshotOf } from '../../support/snapshots.ts';

const { parse } = await loadGrammar();
const render = (...objects: readonly SchemaObject[]) =>
  renderMermaid(diagramOf(snapshotOf(...objects), parse));

it('draws tables, keys, comments and cardinality', () => {
  const users = relationOf('public.users', {
    columns: ['id uuid!', 'email character varying(255)!', 'balance numeric(20,8)'],
    constraints: ['PRIMARY KEY (id)', 'UNIQUE (email)'],
  });
  const profiles = relationOf('public.profiles', {
    columns: ['user_id uuid!', 'parent uuid'],
    constraints: [
      'PRIMARY KEY (user_id)',
      'FOREIGN KEY (user_id) REFERENCES public.users(id)',
      'FOREIGN KEY (parent) REFERENCES public.profiles(user_id)',
    ],
  });
  const prices = relationOf('public.prices', { facts: { hypertable: ['t'] } });
  const daily = relationOf('public.daily', {
    kind: 'view',
    facts: { kind: 'continuous aggregate', query: 'select from public.prices' },
  });
  expect(render(users, profiles, prices, daily)).toBe(`erDiagram
    daily["daily (continuous aggregate)"]
    prices["prices (hypertable)"]
    profiles {
        uuid user_id PK, FK
        uuid parent FK "may be NULL"
    }
    users {
        uuid id PK
        varchar(255) email UK
        numeric balance "may be NULL"
    }
    users ||--o| profiles : "user_id"
    profiles |o--o{ profiles : "parent"
    prices }o..o{ daily : "is read by"
`);
});

it('quotes and changes names that Mermaid cannot take, and keeps the real one in the comment', () => {
  const odd = relationOf('public."Odd ""Name"" %"', {
    columns: ['pk integer!', '"1 st" text!', 'größe "char"!', '"a~b" public."my type"!'],
    constraints: ['FOREIGN KEY ("1 st", pk) REFERENCES public."end"(a, b)'],
  });
  const end = relationOf('public."end"', {});
  const lookalikes = [
    relationOf('public."a%b"', {}),
    relationOf('public."a\\b"', {}),
    relationOf('app.u', {}),
    relationOf('public.u', {}),
  ];
  expect(render(odd, end, ...lookalikes)).toBe(`erDiagram
    "app.u"
    "Odd 'Name' _" {
        integer _pk FK "pk"
        text _1_st FK "1 st"
        _char_ gr__e "größe"
        my_type a_b "a∼b"
    }
    "a_b"
    "a_b (2)"
    "end"
    "u"
    "end" ||--o{ "Odd 'Name' _" : "1 st, pk"
`);
});

it('keeps a comment within its quotes and its line', () => {
  const table = relationOf('public.t', { columns: ['a integer!'] });
  const [column] = table.parts;
  const comment = 'a "quoted"\nnote\u0007 %%{init: {}}%% <b>';
  const parts = column ? [{ ...column, facts: { ...column.facts, comment } }] : [];
  expect(render({ ...table, parts })).toContain(
    `        integer a "a 'quoted' note % %{init: {}}% % <b>"\n`,
  );
});

it('draws a schema without tables', () => {
  expect(render()).toBe('erDiagram\n');
});
