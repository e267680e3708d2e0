import { loadModule, parseSync } from 'libpg-query';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Catalog, Column, Constraint, Relation, View } from '../../src/schema/catalog.ts';
import { asNode, nodes } from '../../src/sql/tree.ts';
import { learn } from '../../src/types/knowledge.ts';
import { type ColumnFacts, factsOfQuery, type Resolve } from '../../src/types/view-columns.ts';

beforeAll(loadModule);

/** A column whose name ends in `!` is never NULL. */
const tables: Readonly<Record<string, readonly string[]>> = {
  users: ['id!', 'name!', 'tier!', 'email'],
  orders: ['id!', 'user_id!', 'total!', 'note', 'paid_at'],
  ticks: ['time!', 'price!', 'volume'],
};

function factsOfTable(table: string, columns: readonly string[]): ColumnFacts {
  return new Map(
    columns.map((column) => {
      const name = column.replace('!', '');
      return [name, { isNeverNull: column !== name, source: `${table}.${name}` }] as const;
    }),
  );
}

const resolve: Resolve = (schema, name) => {
  const columns = schema === undefined || schema === 'public' ? tables[name] : undefined;
  return columns && factsOfTable(name, columns);
};

function factsOf(query: string): ColumnFacts {
  const [statement] = nodes(asNode(parseSync(query)).stmts);
  const select = asNode(asNode(statement?.stmt).SelectStmt);
  const first = (node: typeof select): typeof select =>
    node.larg ? first(asNode(node.larg)) : node;
  const names = nodes(first(select).targetList).map((_, index) => `c${index + 1}`);
  return factsOfQuery(select, names, resolve);
}

/** Of each column in order: `!` never NULL, `?` perhaps. */
function marksOf(query: string): string {
  return [...factsOf(query).values()].map(({ isNeverNull }) => (isNeverNull ? '!' : '?')).join(' ');
}

function sourcesOf(query: string): readonly (string | undefined)[] {
  return [...factsOf(query).values()].map(({ source }) => source);
}

describe('whether a column is never NULL', () => {
  it.each([
    ['select id, email from users', '! ?'],
    ['select users.id, users.email from public.users', '! ?'],
    ['select u.id as email, u.email as id from users u', '! ?'],
    ['select id from users limit 0', '!'],
    ['select distinct tier, email from users', '! ?'],
    ['select distinct on (o.user_id) o.total, o.note from orders o order by o.user_id', '! ?'],
    ['select absent, ctid from users', '? ?'],
    ['select u.absent, other.id from users u', '? ?'],
  ])('is declared by the table for a column of a table: %s', (query, marks) => {
    expect(marksOf(query)).toBe(marks);
  });

  it.each([
    ['select u.id, o.id from users u join orders o on o.user_id = u.id', '! !'],
    ['select u.id, o.id from users u cross join orders o', '! !'],
    ['select u.id, o.id from users u, orders o', '! !'],
    ['select u.id, o.id from users u left join orders o on o.user_id = u.id', '! ?'],
    ['select u.id, o.id from users u right join orders o on o.user_id = u.id', '? !'],
    ['select u.id, o.id from users u full join orders o on o.user_id = u.id', '? ?'],
    [
      'select u.id, o.id, t.time from users u left join (orders o cross join ticks t) on true',
      '! ? ?',
    ],
    [
      'select u.id, o.id, t.time from (users u left join orders o on true) join ticks t on true',
      '! ? !',
    ],
    [
      'select u.id, o.id, t.time from (users u left join orders o on true) full join ticks t on true',
      '? ? ?',
    ],
    [
      'select u.id, o.id, t.time from users u right join orders o on true left join ticks t on true',
      '? ! ?',
    ],
    ['select u.id, s.id from users u left join (select o.id from orders o) s on true', '! ?'],
    [
      'select u.id, s.id from users u left join lateral (select o.id from orders o where o.user_id = u.id) s on true',
      '! ?',
    ],
    ['select u.id, s.id from users u cross join lateral (select u.email as id) s', '! ?'],
    ['select id, u.tier, o.total from users u full join orders o using (id)', '? ? ?'],
    ['select u.id, o.total from users u left join orders o using (id)', '! ?'],
    ['select j.id, j.total from (users u left join orders o using (id)) as j', '? ?'],
  ])('depends on the kind of join: %s', (query, marks) => {
    expect(marksOf(query)).toBe(marks);
  });

  it.each([
    ['select id, total from users u join orders o on true', '? ?'],
    ['select id from users, pg_catalog.pg_class c', '?'],
    ['select email from users, orders where email is not null', '!'],
  ])(
    'is known for a column without an alias when it can come from one relation only: %s',
    (query, marks) => {
      expect(marksOf(query)).toBe(marks);
    },
  );

  it.each([
    ['select s.a, s.b from (select id as a, email as b from users) s', '! ?'],
    ['select s.a from (select s.a from (select id as a from users) s) s', '!'],
    ['with s as (select id, email from users) select id, email from s', '! ?'],
    [
      'with a as (select id from users), b as (select id from a) select b.id, a.id from a, b',
      '! !',
    ],
    ['with users as (select email as id from public.users) select id from users', '?'],
    ['with users as (select email as id from public.users) select u.id from public.users u', '!'],
    ['select s.id from (with s as (select id from users) select s.id from s) s', '!'],
    ['with s(a, b) as (select id, email from users) select a, b from s', '? ?'],
    ['with s(email, id) as (select id, email from users) select email, id from s', '? ?'],
    [
      'with recursive users as (select null::int as id from public.users) select id from users',
      '?',
    ],
    [
      'with recursive s as (select id from users union all select null from s) select id from s',
      '?',
    ],
    ['with s as (select id from users) select s.id from users u left join s on true', '?'],
  ])('is known through subselects and common table expressions: %s', (query, marks) => {
    expect(marksOf(query)).toBe(marks);
  });

  it.each([
    ['select u.id, u.total from users as u(total, id)', '? ?'],
    ['select s.id, s.b from (select id, email from users) as s(b, id)', '? ?'],
    ['select v.a from (values (1), (null)) as v(a)', '?'],
    ['select g from generate_series(1, 2) as g', '?'],
    ['select u.id from other.users u', '?'],
    ['select x.id from absent x', '?'],
    ['select users.id from users tablesample system (1)', '?'],
  ])('is false for the columns of unknown relations: %s', (query, marks) => {
    expect(marksOf(query)).toBe(marks);
  });

  it.each([
    ['select id, email from users union select id, name from users', '! ?'],
    ['select id, name from users union all select id, email from users', '! ?'],
    ['select id, name from users union select id, name from users', '! !'],
    ["select id, 'none' from users union all select user_id, null from orders", '! ?'],
    ['select id from users intersect select user_id from orders', '!'],
    ['select id from users except select user_id from orders', '!'],
    ['select id from users union all select id from orders union all select null', '?'],
    ['select id from users union all values (null)', '?'],
    ['with s as (select id from users union select user_id from orders) select id from s', '!'],
  ])('is true for a union when it is true for both sides: %s', (query, marks) => {
    expect(marksOf(query)).toBe(marks);
  });

  it.each([
    [
      'select tier, count(*), count(email), sum(id), max(email) from users group by tier',
      '! ! ! ! ?',
    ],
    ['select email, avg(id) from users group by email', '? !'],
    ['select count(*), count(email), sum(id), max(name) from users', '! ! ? ?'],
    ['select sum(id) from users having count(*) > 0', '?'],
    [
      'select sum(id) filter (where id > 1), count(*) filter (where id > 1) from users group by tier',
      '? !',
    ],
    [
      "select string_agg(name, ','), string_agg(email, ','), string_agg(name, email) from users group by tier",
      '! ? ?',
    ],
    [
      'select stddev(id), percentile_cont(0.5) within group (order by id), mode() within group (order by id) from users group by tier',
      '? ? ?',
    ],
    ['select max(o.total) from users u left join orders o on true group by u.id', '?'],
    ['select max(u.email) from users u where u.email is not null group by u.id', '!'],
    ['select max(u.email) from users u where u.email is not null', '?'],
    [
      'select public.first(price, "time"), public.last(volume, "time") from ticks group by public.time_bucket(\'1 day\', "time")',
      '! ?',
    ],
    [
      'select public.time_bucket(\'1 day\'::interval, "time") as bucket, max(price) from ticks group by 1',
      '! !',
    ],
    [
      'select public.time_bucket_gapfill(\'1 day\'::interval, "time"), public.locf(max(price)) from ticks group by 1',
      '? ?',
    ],
    ['select s.c, s.m from (select count(*) as c, max(id) as m from users) s', '! ?'],
  ])('is false for an aggregate that can lack a row or a value: %s', (query, marks) => {
    expect(marksOf(query)).toBe(marks);
  });

  it.each([
    ['select tier, name, count(*) from users group by rollup (tier, name)', '? ? !'],
    ['select tier, name, count(*) from users group by cube (tier, name)', '? ? !'],
    ['select tier, max(id), count(*) from users group by grouping sets ((tier), ())', '? ? !'],
    [
      "select coalesce(email, 'none'), count(*) from users group by rollup (coalesce(email, 'none'))",
      '? !',
    ],
    [
      "select 'all'::text, case when id > 1 then 'a' else 'b' end from users group by rollup ('all'::text, case when id > 1 then 'a' else 'b' end)",
      '? ?',
    ],
    ['select email is null from users group by rollup (email is null)', '?'],
    ['select email from users where email is not null group by rollup (email)', '?'],
    ['select max(id) from users group by ()', '?'],
    ['select tier from (select tier from users group by rollup (tier)) s', '?'],
  ])('is false for the grouped columns of ROLLUP, CUBE and GROUPING SETS: %s', (query, marks) => {
    expect(marksOf(query)).toBe(marks);
  });

  it.each([
    [
      'select row_number() over (order by id), count(*) over (), count(email) over w from users window w as ()',
      '! ! !',
    ],
    ['select lag(id) over (order by id), lead(id) over (order by id) from users', '? ?'],
    ['select max(id) over (order by id rows between 2 preceding and 1 preceding) from users', '?'],
    ['select first_value(id) over (order by id), sum(id) over () from users', '? ?'],
    ['select count(*) filter (where id > 1) over () from users', '!'],
  ])('is false for a window function whose frame can be empty: %s', (query, marks) => {
    expect(marksOf(query)).toBe(marks);
  });

  it.each([
    ["select coalesce(email, 'none'), coalesce(email, note) from users, orders", '! ?'],
    [
      "select coalesce(u.email, o.note, ''), coalesce(u.email, o.note) from users u, orders o",
      '! ?',
    ],
    [
      "select case when id > 1 then 'a' else 'b' end, case when id > 1 then 'a' end from users",
      '! ?',
    ],
    [
      "select case when id > 1 then 'a' else email end, case id when 1 then email else 'b' end from users",
      '? ?',
    ],
    ["select case when id > 1 then null else 'b' end from users", '?'],
    ['select id::text, email::text, null::text, id::text::varchar(3) from users', '! ? ? !'],
    ['select id + 1, -id, id + null, total * id from orders', '! ! ? !'],
    ["select name || '!', name || email from users", '! ?'],
    [
      'select id > 1, email is null, email is not null, id = 1 and email = name from users',
      '! ! ! ?',
    ],
    ['select (id > 1) is true, not (id > 1), not (email = name) from users', '! ! ?'],
    [
      'select nullif(id, 1), greatest(id, null), least(email, name), greatest(email) from users',
      '? ! ! ?',
    ],
    ['select current_date, current_timestamp, current_user, current_schema from users', '! ! ! ?'],
    [
      'select exists (select 1 from orders), (select id from users limit 1), id in (select 1) from users',
      '! ? ?',
    ],
    ["select date_trunc('day', paid_at), date_trunc('day', t.time) from orders, ticks t", '? !'],
    ["select round(total, 2), abs(id), length(note), pg_catalog.btrim('x') from orders", '! ! ? !'],
    [
      'select row(id), array[id], name like \'x\', name collate "C", id between 1 and 2 from users',
      '? ? ? ? ?',
    ],
    ["select to_json(name) -> 'x', to_json(name) ->> 'x', upper(name) from users", '? ? ?'],
  ])('depends on the operands of an expression: %s', (query, marks) => {
    expect(marksOf(query)).toBe(marks);
  });

  it.each([
    ['select public.round(total, 2), public.length(note), public.count(id) from orders', '? ? ?'],
    ['select public.sum(id) from users group by tier', '?'],
    ['select id operator(public.+) 1, id operator(pg_catalog.+) 1 from users', '? !'],
  ])('is false for a function that has only the name of a known function: %s', (query, marks) => {
    expect(marksOf(query)).toBe(marks);
  });

  it.each([
    ['select email from users where email is not null', '!'],
    ['select u.email from users u where u.email is not null and u.id > 1', '!'],
    ['select u.email from users u where (u.id > 1 and (u.email is not null))', '!'],
    ['select email from users where email is not null or id > 1', '?'],
    ['select email from users where not (email is not null)', '?'],
    ['select email from users where email is null', '?'],
    ["select email from users where coalesce(email, '') is not null", '?'],
    ['select o.note from users u left join orders o on o.note is not null', '?'],
    ['select o.note, o.id from users u left join orders o on true where o.note is not null', '! ?'],
    ['select a.email, b.email from users a, users b where a.email is not null', '! ?'],
    [
      'select s.email from users u left join (select email from users where email is not null) s on true',
      '?',
    ],
    ['select email || name from users where email is not null', '!'],
    ['select email from users where email is not null union all select email from users', '?'],
  ])('is true for a column that cannot be NULL after WHERE: %s', (query, marks) => {
    expect(marksOf(query)).toBe(marks);
  });

  it('is false for a column of a view that is not in its query', () => {
    const [statement] = nodes(asNode(parseSync('select id from users')).stmts);
    const select = asNode(asNode(statement?.stmt).SelectStmt);
    expect(factsOfQuery(select, ['a', 'b'], resolve).get('b')).toEqual({
      isNeverNull: false,
      source: undefined,
    });
  });
});

describe('the column of a table that a column of a query returns', () => {
  it.each<[query: string, ...sources: (string | undefined)[]]>([
    ['select tier as level, absent from users', 'users.tier', undefined],
    ['select u.tier as level, u.email from users u', 'users.tier', 'users.email'],
    ['select o.note from users u left join orders o on true', 'orders.note'],
    ['select s.a from (select s.b as a from (select tier as b from users) s) s', 'users.tier'],
    ['with s as (select tier from users) select x.tier from s x', 'users.tier'],
    ['select tier from users group by rollup (tier)', 'users.tier'],
    ['select tier from users union select tier from users', 'users.tier'],
    ['select tier from users union all select note from orders', undefined],
    ["select tier from users union all select 'other'", undefined],
    ['select s.t from (select tier as t from users union all select name from users) s', undefined],
    [
      "select tier::text, tier || '', coalesce(tier, ''), max(tier) from users",
      undefined,
      undefined,
      undefined,
      undefined,
    ],
    ['select id from users u full join orders o using (id)', undefined],
    ['select tier from users u full join absent() a(tier) using (tier)', undefined],
    ['with users as (select name as tier from public.users) select tier from users', 'users.name'],
    [
      'with recursive users as (select name as tier from public.users) select tier from users',
      undefined,
    ],
    ['select u.tier from users as u(tier)', undefined],
  ])('is found for %s', (query, ...sources) => {
    expect(sourcesOf(query)).toEqual(sources);
  });
});

describe('the facts that learn finds in a catalog', () => {
  const column = (name: string, isNullable: boolean): Column => ({
    name,
    type: 'text',
    valueType: { schema: 'pg_catalog', name: 'text', arrayDepth: 0, words: null },
    isNullable,
    default: null,
    hasTypeDefault: false,
    generated: null,
    identity: null,
    isDeterministic: true,
    comment: null,
  });
  const users: Relation = {
    name: 'users',
    kind: 'table',
    comment: null,
    storage: [],
    columns: [column('tier', false), column('email', true)],
  };
  const viewOf = (name: string, columns: readonly string[]): Relation => ({
    name,
    kind: 'view',
    comment: null,
    storage: [],
    columns: columns.map((each) => column(each, true)),
  });
  const query = (name: string, text: string): View => ({
    name,
    query: text,
    isMaterializedOnly: null,
  });
  const check = (table: string, condition: string): Constraint => ({
    table,
    name: `${table}_check`,
    kind: 'check',
    definition: `CHECK (${condition})`,
    condition,
    isValidated: true,
    isInherited: true,
  });

  async function learnt(catalog: Partial<Catalog>) {
    const found = await learn({ relations: [users], constraints: [], views: [], ...catalog });
    return Object.fromEntries(found);
  }

  it('give a view over a view the words of the table', async () => {
    const known = await learnt({
      relations: [viewOf('a_view', ['t']), users, viewOf('z_view', ['level', 'mail'])],
      constraints: [check('users', "tier = ANY (ARRAY['free'::text, 'pro'::text])")],
      views: [
        query('a_view', 'select z.level as t from public.z_view z'),
        query('z_view', 'SELECT users.tier AS level, users.email FROM public.users;'),
      ],
    });
    const tier = { source: 'users.tier', isNeverNull: true, words: ['free', 'pro'] };
    expect(known).toMatchObject({
      'users.tier': tier,
      'z_view.level': tier,
      'z_view.mail': { source: 'users.email', isNeverNull: false, words: undefined },
      'a_view.t': tier,
    });
  });

  it('give a column with several constraints the words that all of them allow', async () => {
    const known = await learnt({
      constraints: [
        check('users', "tier in ('a', 'b', 'c')"),
        check('users', "tier <> 'a'"),
        check('users', "tier in ('c', 'b', 'd')"),
        check('others', "tier in ('e')"),
      ],
    });
    expect(known['users.tier']?.words).toEqual(['b', 'c']);
  });

  it('give no words to a column whose collation treats different texts as equal', async () => {
    const blind = users.columns.map((column) => ({ ...column, isDeterministic: false }));
    const known = await learnt({
      relations: [{ ...users, columns: blind }],
      constraints: [check('users', "tier in ('a', 'b')")],
    });
    expect(known['users.tier']?.words).toBeUndefined();
  });

  it('do not include the columns of a recursive view', async () => {
    const text =
      'WITH RECURSIVE tree(tier) AS (SELECT tier FROM public.users UNION ALL SELECT tree.tier FROM tree) SELECT tree.tier FROM tree';
    const known = await learnt({
      relations: [viewOf('tree', ['tier']), users],
      views: [query('tree', text)],
    });
    expect(known['tree.tier']).toMatchObject({ source: 'tree.tier', isNeverNull: false });
  });

  it('do not include an expression that the grammar refuses', async () => {
    const known = await learnt({
      relations: [users, viewOf('odd', ['tier'])],
      constraints: [check('users', 'tier is of a later release (')],
      views: [query('odd', 'select from from')],
    });
    expect(known).toMatchObject({
      'users.tier': { isNeverNull: true, words: undefined },
      'odd.tier': { source: 'odd.tier', isNeverNull: false, words: undefined },
    });
  });
});
