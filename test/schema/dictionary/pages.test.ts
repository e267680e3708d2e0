import { expect, it } from 'vitest';
import { diagramOf } from '../../../src/schema/diagram/model.ts';
import { dictionaryPages, pageMark } from '../../../src/schema/dictionary/pages.ts';
import type { SchemaObject } from '../../../src/schema/snapshot/snapshot.ts';
import { loadGrammar } from '../../../src/sql/parse.ts';
import { relationOf, snapshotOf } from '../../support/snapshots.ts';

const { parse } = await loadGrammar();

function pagesOf(...objects: readonly SchemaObject[]): ReadonlyMap<string, string> {
  const snapshot = snapshotOf(...objects);
  const diagram = diagramOf(snapshot, parse);
  const touchedBy = (relation: string) => (relation === 'public.users' ? ['1_users.sql'] : []);
  return new Map(
    dictionaryPages({ snapshot, diagram, touchedBy }).map(({ name, text }) => [name, text]),
  );
}

const users = relationOf('public.users', {
  facts: { comment: 'People | and <robots>' },
  columns: ['id bigint!', 'email text'],
  constraints: ['PRIMARY KEY (id)', "CHECK (email ~ 'a|b'::text)"],
  indexes: ['CREATE INDEX i1 ON public.users USING btree (email)'],
});
const posts = relationOf('public.posts', {
  columns: ['author bigint!'],
  constraints: ['FOREIGN KEY (author) REFERENCES public.users(id)'],
});

it('describes a table with what belongs to it, what it touches and what touches it', () => {
  expect(pagesOf(users, posts).get('users.md')).toBe(`${pageMark}

# users

People \\| and &lt;robots&gt;

Table · [all tables](README.md)

## Columns

| name | type | NULL | key |
| --- | --- | --- | --- |
| \`id\` | \`bigint\` |  | PK |
| \`email\` | \`text\` | yes |  |

## Constraints

| name | definition |
| --- | --- |
| \`c1\` | \`PRIMARY KEY (id)\` |
| \`c2\` | \`CHECK (email ~ 'a\\|b'::text)\` |

## Referenced by

| table | its columns | columns | rows | constraint |
| --- | --- | --- | --- | --- |
| [posts](posts.md) | \`author\` | \`id\` | zero or many | \`c1\` |

## Indexes

| name | definition |
| --- | --- |
| \`i1\` | \`CREATE INDEX i1 ON public.users USING btree (email)\` |

## Migrations

- \`1_users.sql\`

## Diagram

\`\`\`mermaid
erDiagram
    posts
    users {
        bigint id PK
    }
    users ||--o{ posts : "author"
\`\`\`
`);
  expect(pagesOf(users, posts).get('posts.md')).toContain(
    '| `author` | [users](users.md) | `id` | exactly one | `c1` |',
  );
});

it('says what TimescaleDB does with a table, and what a view reads', () => {
  const prices = relationOf('public.prices', {
    facts: { hypertable: ['"time" every 7 days'], compression: true, 'compressed by': 'symbol' },
    columns: ['"time" date!'],
  });
  const job: SchemaObject = {
    kind: 'job',
    name: 'policy_retention on public.prices (2)',
    facts: { every: '1 day', config: '{"drop_after":"5 years"}' },
    parts: [],
  };
  const daily = relationOf('public.daily', {
    kind: 'view',
    facts: { kind: 'continuous aggregate', query: 'SELECT 1\n   FROM public.prices' },
  });
  const pages = pagesOf(prices, job, daily);
  const page = pages.get('prices.md');
  expect(page).toContain('Hypertable · ');
  expect(page).toContain(
    '- hypertable: `"time" every 7 days`\n- compression\n- compressed by: `symbol`',
  );
  expect(page).toContain('| `policy_retention` | 1 day | config: `{"drop_after":"5 years"}` |');
  expect(page).toContain('## Read by\n\n- [daily](daily.md)');
  expect(pages.get('daily.md')).toContain('```sql\nSELECT 1\n   FROM public.prices\n```');
  expect(pages.get('README.md')).not.toContain('policy_retention');
});

it('lists tables, views, types, functions and jobs of no table in the index', () => {
  const mood: SchemaObject = {
    kind: 'type',
    name: 'public.mood',
    facts: { kind: 'enum', labels: ['sad', 'ok'], comment: 'How' },
    parts: [],
  };
  const twice: SchemaObject = {
    kind: 'function',
    name: 'public.twice(x integer)',
    facts: { returns: 'integer', comment: 'Times two' },
    parts: [],
  };
  const job: SchemaObject = {
    kind: 'job',
    name: 'public.clean_up',
    facts: { every: '1 day' },
    parts: [],
  };
  const view = relationOf('public.v', { kind: 'view', facts: { query: 'select 1' } });
  const index = pagesOf(mood, twice, job, users, view).get('README.md');
  expect(index).toContain('| [users](users.md) | 2 | People \\| and &lt;robots&gt; |');
  expect(index).toContain('## Views and aggregates\n\n| name | columns |');
  expect(index).toContain('| `mood` | enum | labels: `sad, ok` | How |');
  expect(index).toContain('| `twice(x integer)` | `integer` | Times two |');
  expect(index).toContain('| `public.clean_up` | 1 day |');
});

it('gives tables names of files that differ on every system', () => {
  const names = [
    'public."README"',
    'public."A b"',
    'public.a_b',
    'public."../x"',
    'public."größe"',
  ];
  const pages = pagesOf(...names.map((name) => relationOf(name, {})));
  expect([...pages.keys()]).toEqual([
    'README.md',
    '__x.md',
    'A_b.md',
    'README_2.md',
    'größe.md',
    'a_b_2.md',
  ]);
});

it('lists the partitions of a table on its page, and gives them none', () => {
  const whole = relationOf('public.events', {
    facts: { kind: 'partitioned table', 'partition key': 'RANGE (day)' },
  });
  const part = relationOf('public.events_1', {
    facts: { 'partition of': 'public.events', bound: 'FOR VALUES IN (1)' },
  });
  const pages = pagesOf(whole, part);
  expect([...pages.keys()]).toEqual(['README.md', 'events.md']);
  expect(pages.get('events.md')).toContain('| `events_1` | `FOR VALUES IN (1)` |');
});
