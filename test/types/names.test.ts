import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { createDatabase } from '../../src/typed-database.ts';
import { generate } from '../../src/types/generate.ts';
import { chooseNames } from '../../src/types/names.ts';
import { createScratchDatabase, type ScratchDatabase } from '../support/databases.ts';
import { type DeclaredTypes, readDeclaredTypes } from '../support/declared-types.ts';
import { temporaryFolder, writePairs } from '../support/fixtures.ts';

describe('chooseNames', () => {
  const convert = (id: string) => id.replaceAll('_', '');
  it.each<[string, readonly string[], readonly string[]]>([
    ['keeps names that differ', ['A', 'B'], ['A', 'B']],
    ['numbers the second of two', ['A_B', 'AB'], ['AB', 'AB2']],
    ['numbers a name that is taken', ['Date'], ['Date2']],
    ['leaves a number to the id that has it', ['A_B', 'AB', 'AB2'], ['AB', 'AB3', 'AB2']],
    ['begins with no digit', ['1d', ''], ['_1d', '_']],
    ['knows no name of JavaScript', ['constructor', '__proto__'], ['constructor', 'proto']],
  ])('%s', (_what, ids, names) => {
    const chosen = chooseNames(ids, { convert, taken: ['Date'] });
    expect(ids.map((id) => chosen.get(id))).toEqual(names);
  });
});

async function typesOf(url: string): Promise<string> {
  const file = join(temporaryFolder(), 'types.ts');
  await generate({ target: url, file, ...writePairs({}) });
  return readFileSync(file, 'utf8');
}

/** Names that JavaScript, TypeScript, PostgreSQL, Kysely or the file of types has a meaning for. */
const tables = `
  constructor __proto__ toString hasOwnProperty valueOf prototype
  Date Buffer Array Record Promise Object Error Symbol Map Extract
  Json json_value JSONColumnType Generated generated GeneratedAlways Numeric Timestamp Int8 Point
  ColumnType SelectType DB db array_type ArrayTypeImpl
  text int4 numeric date json uuid bool interval time point unknown never any
  order_status orderstatus OrderStatus order__status ORDER_STATUS _order_status
  class function 1st 42 _ __ $ a-b a/b é 表 block_chunk prices_chunk
`
  .trim()
  .split(/\s+/)
  .concat('two words', 'quote"d', "apostro'phe", 'back\\slash', 'new\nline', '*/');

const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`;
const columns =
  `constructor toString hasOwnProperty class new get readonly 1st a-b a.b é $ _ type string`
    .split(' ')
    .concat('two words', 'quote"d', 'back\\slash', 'new\nline', '*/', ': any; x');

describe('names that mean something to JavaScript, TypeScript or the file of types', () => {
  let scratch: ScratchDatabase;
  beforeAll(async () => {
    scratch = await createScratchDatabase(inject('postgresUrl'));
    await scratch.sql.unsafe(`
      create schema elsewhere;
      create type elsewhere.order_status as enum ('elsewhere');
      create type elsewhere."Date" as enum ('day');
      create type "Order-Status" as enum ('new', 'paid');
      create type "order-Status" as enum ('other');
      create type _mood as enum ('sad', 'it"s ok');
      create type empty as enum ();
      create type elsewhere.numeric as enum ('one');
      create type elsewhere.text as (a integer);
      create domain elsewhere.int4 as text;
      create domain word as varchar(9) not null;
      create domain strict_word as word;
      create domain grades as integer[];
      create table parent (id integer);
      ${tables
        .map((name) =>
          /_chunk$/.test(name)
            ? `create table ${name} () inherits (parent);`
            : `create table ${quoted(name)} (id integer, at timestamptz, raw bytea, doc jsonb default '{}', price numeric[]);`,
        )
        .join('\n')}
      create table typed (
        status "Order-Status" default 'new', other "order-Status" not null, far elsewhere.order_status,
        day elsewhere."Date"[], mood _mood, moods _mood[], nothing empty, one elsewhere.numeric,
        row elsewhere.text, rows elsewhere.text[], word strict_word, words word[], own elsewhere.int4,
        grades grades, grade_lists grades[], range int4range, ranges int4range[],
        always "Order-Status"[] generated always as (array['new'::"Order-Status"]) stored
      );
      create table odd (${columns.map((name) => `${quoted(name)} text check (${quoted(name)} in ('a', 'b'))`).join(', ')});
      comment on table odd is 'ends */ here';`);
  });
  afterAll(() => scratch?.drop());

  let declaredOnce: DeclaredTypes | undefined;
  const declaredTypes = async () => {
    declaredOnce ??= readDeclaredTypes(await typesOf(scratch.url));
    return declaredOnce;
  };

  it('give a file that compiles, with each table and column under its own name', async () => {
    const declared = await declaredTypes();
    expect([...declared.tables.keys()].sort()).toEqual(
      [...tables, 'odd', 'parent', 'typed'].sort(),
    );
    expect(declared.tables.get('odd')?.toSorted()).toEqual(columns.toSorted());
    const row = { id: 1, at: new Date(), raw: Buffer.alloc(1), doc: ['x'], price: ['1'] };
    const other = { id: 'x', at: 'x', raw: 'x', doc: undefined, price: [1] };
    for (const table of tables.filter((name) => !name.endsWith('_chunk'))) {
      for (const [column, value] of Object.entries(row)) {
        expect(declared.mismatch(table, column, value), table).toBeUndefined();
      }
      for (const [column, value] of Object.entries(other)) {
        expect(declared.mismatch(table, column, value), table).toBeDefined();
      }
    }
    for (const column of columns) {
      expect(declared.mismatch('odd', column, 'a')).toBeUndefined();
      expect(declared.mismatch('odd', column, 'c')).toBeDefined();
    }
  });

  it('give the types that the values have', async () => {
    const declared = await declaredTypes();
    await scratch.sql.unsafe(`
      truncate typed;
      insert into typed values ('paid', 'other', 'elsewhere', '{day}', 'it"s ok', '{sad}', null, 'one',
        '(1)', '{(1)}', 'a', '{b}', '5', '{1,2}', array['{1,2}'::grades], '[1,5)', '{"[1,5)"}')`);
    const db = createDatabase({ target: scratch.url });
    const { rows } = await sql<Record<string, unknown>>`select * from typed`.execute(db);
    await db.destroy();
    for (const [column, value] of Object.entries(rows[0] ?? {})) {
      const isUnknown = column === 'grade_lists';
      if (isUnknown) expect(value).toEqual([[1, 2]]);
      else expect(declared.mismatch('typed', column, value), column).toBeUndefined();
    }
    const wrong = { status: 'other', other: null, far: 'new', mood: 'mood', word: null, own: 5 };
    for (const [column, value] of Object.entries(wrong)) {
      expect(declared.mismatch('typed', column, value), column).toBeDefined();
    }
  });

  it.each([
    ['create table "elsewhere.users" (id integer)', ['elsewhere.users']],
    ['create table "a as b" (id integer)', ['a as b']],
    ['create table t (id integer, "__proto__" text)', ['t.__proto__']],
  ])('are refused where Kysely or JavaScript cannot use them: %s', async (statement, names) => {
    const other = await createScratchDatabase(inject('postgresUrl'));
    try {
      await other.sql.unsafe(statement);
      await expect(typesOf(other.url)).rejects.toMatchObject({
        code: 'unusable-name',
        details: { names },
      });
    } finally {
      await other.drop();
    }
  });
});
