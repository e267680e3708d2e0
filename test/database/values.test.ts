import { type Kysely, sql } from 'kysely';
import { afterAll, afterEach, beforeAll, describe, expect, inject, it, vi } from 'vitest';
import { readArray, writeArray } from '../../src/database/values/arrays.ts';
import { readTime, writeTime } from '../../src/database/values/times.ts';
import { readValue } from '../../src/database/values/value-types.ts';
import * as seeding from '../../src/seeding/seed.ts';
import { createDatabase } from '../../src/typed-database.ts';
import { createScratchDatabase, type ScratchDatabase } from '../support/databases.ts';
import { writePairs } from '../support/fixtures.ts';
import { writeSeeders } from '../support/seeding.ts';

const zones = ['America/New_York', 'Asia/Kolkata'];
afterEach(() => {
  vi.unstubAllEnvs();
});

describe('an array', () => {
  const isList = (item: unknown): item is readonly unknown[] => Array.isArray(item);
  it.each<[string, readonly unknown[]]>([
    ['{}', []],
    ['{a,NULL,"NULL"}', ['a', null, 'NULL']],
    ['{"",null," x "}', ['', 'null', ' x ']],
    ['{"a,b","{}","\\"q\\"","\\\\"}', ['a,b', '{}', '"q"', '\\']],
    ['{"a\nb","日本"}', ['a\nb', '日本']],
    [
      '{{a,b},{NULL,d}}',
      [
        ['a', 'b'],
        [null, 'd'],
      ],
    ],
    ['{{{a}},{{b}}}', [[['a']], [['b']]]],
    ['[0:1]={a,b}', ['a', 'b']],
    [
      '[-2:-1][3:4]={{a,b},{c,d}}',
      [
        ['a', 'b'],
        ['c', 'd'],
      ],
    ],
  ])('%s is read with its NULLs, its quotes and its dimensions', (text, items) => {
    const form = { delimiter: ',', item: String };
    expect(readArray(text, form)).toEqual(items);
    expect(readArray(writeArray(items, { ...form, isList }), form)).toEqual(items);
  });

  it('of boxes has semicolons', () => {
    const form = { delimiter: ';', item: String };
    expect(readArray('{(2,2),(1,1);(4,4),(3,3)}', form)).toEqual(['(2,2),(1,1)', '(4,4),(3,3)']);
  });
});

describe.each(zones)('a time, in a process of the zone %s,', (name) => {
  it.each([
    ['2026-11-20 12:34:56.789+00', '2026-11-20T12:34:56.789Z'],
    ['2026-11-20 12:34:56', '2026-11-20T12:34:56.000Z'],
    ['2026-11-20', '2026-11-20T00:00:00.000Z'],
    ['2026-11-20 12:34:56.789999', '2026-11-20T12:34:56.789Z'],
    ['2026-11-20 12:34:56.5+05:30', '2026-11-20T07:04:56.500Z'],
    ['1890-01-01 00:00:00-04:56:02', '1890-01-01T04:56:02.000Z'],
    ['0099-01-01 00:00:00', '0099-01-01T00:00:00.000Z'],
    ['0001-12-31 00:00:00 BC', '0000-12-31T00:00:00.000Z'],
    ['0044-03-15 00:00:00+00 BC', '-000043-03-15T00:00:00.000Z'],
    ['12345-01-01 00:00:00+00', '+012345-01-01T00:00:00.000Z'],
    ['275760-09-13', '+275760-09-13T00:00:00.000Z'],
  ])('%s is %s', (text, moment) => {
    vi.stubEnv('TZ', name);
    const time = readTime(text);
    expect(time.toISOString()).toBe(moment);
    expect(readTime(writeTime(time))).toEqual(time);
  });

  it.each(['infinity', '-infinity', '275760-09-14', '294276-12-31 23:59:59', 'epoch'])(
    '%s is refused, as a Date cannot hold it',
    (text) => expect(() => readTime(text)).toThrow(`a Date cannot hold ${text}`),
  );
});

it.each([
  ['\\xdeadbeef', 'deadbeef'],
  ['\\x', ''],
  ['', ''],
  ['\\336\\255\\276\\357', 'deadbeef'],
  ['a\\\\x\\000\\012', '615c78000a'],
])('the bytea %s is read in both of its forms', (text, hex) => {
  expect(readValue({ kind: 'bytes' }, text)).toEqual(Buffer.from(hex, 'hex'));
});

const different = Symbol('written and read differ');
function pair(written: unknown, read: unknown) {
  return { [different]: true, written, read };
}
const isPair = (value: unknown): value is ReturnType<typeof pair> =>
  typeof value === 'object' && value !== null && different in value;

const at = new Date('2024-01-15T23:30:00.120Z');
const day = new Date('2024-01-15T00:00:00Z');
const early = readTime('0099-03-01');
const ancient = readTime('0044-03-15 BC');
const late = readTime('12345-01-01');
const bytes = Buffer.from([0, 1, 10, 92, 255]);
const words = ['a', null, 'NULL', 'null', '', 'a,b', '"q"', '\\', ' x ', '{}', '\t\n'];
const json = [
  'text',
  '123',
  'null',
  '',
  'a"\\\n',
  true,
  false,
  0,
  -1.5,
  [true],
  ['a'],
  [],
  [[1]],
  {},
];

/** Type → values, or pairs of what is written and what is read where they differ. */
const samples: Readonly<Record<string, readonly unknown[]>> = {
  smallint: [-32768],
  integer: [0, 2147483647],
  bigint: ['9007199254740993', pair(9007199254740993n, '9007199254740993'), pair(5, '5')],
  numeric: [
    '0.000000000000000001',
    'NaN',
    pair(Number.NaN, 'NaN'),
    pair(Number.POSITIVE_INFINITY, 'Infinity'),
    pair(10n ** 20n, '100000000000000000000'),
    pair(1.5, '1.5'),
  ],
  real: [1.5, Number.NaN, Number.NEGATIVE_INFINITY],
  'double precision': [0.1 + 0.2, 1e300, Number.NaN, Number.POSITIVE_INFINITY, -0],
  boolean: [true, false],
  text: ['a\tb\\c\n"\'', '', '\\N', '\\.', 'NULL', '日本 🚀'],
  'varchar(9)': ['pro', 'null'],
  'char(3)': ['a  '],
  uuid: ['00000000-0000-4000-8000-000000000001'],
  inet: ['10.0.0.1/8', '::1'],
  cidr: ['10.0.0.0/8'],
  macaddr: ['08:00:2b:01:02:03'],
  interval: ['1 year 2 days 03:04:05', '-00:00:01'],
  date: [day, early, ancient, late],
  time: ['12:34:56.789'],
  timetz: ['12:34:56+05:30'],
  timestamp: [at, early, ancient, late],
  timestamptz: [at, early, ancient, late],
  int4range: ['[1,5)', 'empty'],
  tstzrange: ['["2024-01-15 00:00:00+00",)'],
  numrange: ['[1.5,)'],
  point: ['(1,2)'],
  bit: ['1'],
  xml: ['<a/>'],
  tsvector: ["'a' 'b'"],
  json,
  jsonb: [...json, { a: [null, { b: '' }] }],
  bytea: [bytes, Buffer.alloc(0), Buffer.from('text'), pair(new Uint8Array(bytes), bytes)],
  mood: ['sad', 'it"s, ok'],
  rating: [5],
  docs: ['text', [1, null], { a: 1 }],
  moment: [at],
  tags: [words, []],
  couple: ['(1,"a b")'],
  'text[]': [
    words,
    [],
    [
      ['a', 'b'],
      [null, 'd'],
    ],
  ],
  'integer[]': [[1, null]],
  'bigint[]': [['9007199254740993', null]],
  'numeric[]': [['1.5', null, 'NaN']],
  'boolean[]': [[true, null, false]],
  'double precision[]': [[Number.NaN, Number.POSITIVE_INFINITY, null, 1.5]],
  'uuid[]': [['00000000-0000-4000-8000-000000000001', null]],
  'bytea[]': [[bytes, null, Buffer.alloc(0)]],
  'date[]': [[day, null, ancient]],
  'timestamp[]': [[at, null, early]],
  'timestamptz[]': [[at, null, late]],
  'interval[]': [['1 day', null]],
  'json[]': [[{ a: '"' }, 'x', '1', 1, true, [1, [2]], []]],
  'jsonb[]': [[{ a: '"' }, null, 'x', '1', 1, true, [1, [2]], []]],
  'mood[]': [['sad', null, 'it"s, ok'], []],
  'rating[]': [[5, null]],
  'docs[]': [['text', [1], null]],
  'moment[]': [[at, null]],
  'couple[]': [['(1,"a b")', null]],
  'int4range[]': [['[1,5)', null]],
  'box[]': [['(2,2),(1,1)', '(4,4),(3,3)']],
  'point[]': [['(1,2)', null]],
};

const typeNames = Object.keys(samples);
/** Row n has the n-th value of each type, and NULL where there is none. */
const rowCount = Math.max(...Object.values(samples).map((values) => values.length)) + 1;
const rowsOf = (side: 'written' | 'read') =>
  Array.from({ length: rowCount }, (_, id) => ({
    id,
    ...Object.fromEntries(
      typeNames.map((type, column) => {
        const value = samples[type]?.[id] ?? null;
        return [`c${column}`, isPair(value) ? value[side] : value];
      }),
    ),
  }));

const ways = ['createDatabase', 'db', 'load'] as const;
type Way = (typeof ways)[number];
type Tables = Record<string, Record<string, unknown>>;

describe('through createDatabase, and through db and load of a seeder,', () => {
  let scratch: ScratchDatabase;
  let db: Kysely<Tables>;
  beforeAll(async () => {
    scratch = await createScratchDatabase(inject('postgresUrl'));
    const columns = typeNames.map((type, index) => `c${index} ${type}`).join(', ');
    await scratch.sql.unsafe(`
      create type mood as enum ('sad', 'it"s, ok');
      create domain rating as integer; create domain docs as jsonb;
      create domain moment as timestamp; create domain tags as text[];
      create type couple as (a integer, b text);
      ${ways.map((way) => `create table "${way}" (id integer primary key, ${columns});`).join('\n')}`);
    for (const setting of [
      "timezone = 'Asia/Kathmandu'",
      "datestyle = 'German'",
      "intervalstyle = 'iso_8601'",
      "bytea_output = 'escape'",
      'extra_float_digits = 0',
    ]) {
      await scratch.sql.unsafe(`alter database ${scratch.name} set ${setting}`);
    }
    db = createDatabase({ target: scratch.url }) as unknown as Kysely<Tables>;
  });
  afterAll(async () => {
    await db?.destroy();
    await scratch?.drop();
  });

  /** Runs `body` as a seeder; `given` is what it gets to see. */
  async function seed(body: string, given: unknown = undefined): Promise<void> {
    vi.stubGlobal('given', given);
    const seeds = writeSeeders({ dev: { '01_values': body } });
    await seeding.dev({ target: scratch.url, ...writePairs({}), seeds });
    vi.unstubAllGlobals();
  }

  const writers: Readonly<
    Record<Way, (table: string, rows: Tables[string][]) => Promise<unknown>>
  > = {
    createDatabase: async (table, rows) => {
      for (const row of rows) await db.insertInto(table).values(row).execute();
    },
    db: (table, rows) =>
      seed(
        `for (const row of given.rows) await db.insertInto(given.table).values(row).execute();`,
        {
          table,
          rows,
        },
      ),
    load: (table, rows) =>
      seed('await load(given.table, { rows: given.rows, total: given.rows.length });', {
        table,
        rows,
      }),
  };

  it.each(zones)(
    'every value of every type is the same, in a process of the zone %s',
    async (name) => {
      vi.stubEnv('TZ', name);
      const expected = rowsOf('read');
      for (const way of ways) {
        await sql`truncate ${sql.table(way)}`.execute(db);
        await writers[way](way, rowsOf('written'));
        const rows = await db.selectFrom(way).selectAll().orderBy('id').execute();
        expect(rows, `written through ${way}`).toEqual(expected);
      }
      const seen: { rows: unknown } = { rows: undefined };
      await seed(
        `given.rows = await db.selectFrom('load').selectAll().orderBy('id').execute();`,
        seen,
      );
      expect(seen.rows, 'read by a seeder').toEqual(expected);
      const streamed: unknown[] = [];
      for await (const row of db.selectFrom('db').selectAll().orderBy('id').stream(3))
        streamed.push(row);
      expect(streamed, 'read as a stream').toEqual(expected);
    },
  );

  it('the server holds the same values', async () => {
    const texts = await Promise.all(
      ways.map((way) =>
        sql<{ text: string }>`select t::text from ${sql.table(way)} t order by id`.execute(db),
      ),
    );
    expect(texts[1]?.rows).toEqual(texts[0]?.rows);
    expect(texts[2]?.rows).toEqual(texts[0]?.rows);
    const index = typeNames.indexOf('jsonb');
    const { rows } = await sql<{ type: string | null }>`
      select jsonb_typeof(${sql.ref(`c${index}`)}) as type from "load" order by id`.execute(db);
    expect(rows.slice(0, 6).map(({ type }) => type)).toEqual([
      ...Array(5).fill('string'),
      'boolean',
    ]);
    expect(rows.at(-1)?.type).toBeNull();
  });

  const circle: Record<string, unknown> = {};
  circle.of = circle;
  const column = (type: string) => `c${typeNames.indexOf(type)}`;
  it.each<[string, string, unknown, string]>([
    ['text with NUL', 'text', 'a\0b', '22021|invalid byte sequence'],
    ['text with half of a character', 'text', '\ud83d', 'a string with half of a character'],
    ['an invalid Date', 'timestamptz', new Date(Number.NaN), 'an invalid Date'],
    ['an invalid Date in an array', 'timestamptz[]', [new Date(Number.NaN)], 'an invalid Date'],
    ['an object', 'text', { a: 1 }, 'an object, which its type does not take'],
    ['an array', 'integer', [1], 'an array, which its type does not take'],
    ['a symbol', 'text', Symbol('x'), 'a symbol'],
    ['undefined in an array', 'text[]', ['a', undefined], 'undefined'],
    ['a symbol as JSON', 'jsonb', Symbol('x'), 'a symbol, which JSON does not have'],
    ['a Date', 'jsonb', new Date(0), 'a Date, which JSON|type timestamp with time zone'],
    ['bytes', 'jsonb', Buffer.from('abc'), 'bytes, which JSON'],
    ['a bigint', 'jsonb', 10n, 'a bigint, which JSON|type bigint'],
    ['a bigint inside', 'jsonb', { a: [10n] }, 'a bigint, which JSON'],
    ['a circle', 'jsonb', circle, 'a value that JSON.stringify refuses'],
    ['bytes', 'text', Buffer.from('abc'), 'bytes, which only bytea takes'],
    ['bytes in an array', 'text[]', [Buffer.from('abc')], 'bytes, which only bytea takes'],
    [
      'numbers of two bytes',
      'bytea',
      new Uint16Array([1, 2]),
      'of the kind Uint16Array, which its type',
    ],
    [
      'a typed array',
      'integer[]',
      new Int32Array([1, 2]),
      'of the kind Int32Array, which its type',
    ],
    ['an ArrayBuffer', 'bytea', new ArrayBuffer(2), 'an object, which its type'],
    ['another word', 'mood[]', ['glad'], 'invalid input value for enum mood'],
  ])('%s is refused for %s', async (_what, type, value, message) => {
    for (const way of ways) {
      const written = writers[way](way, [{ id: 99, [column(type)]: value }]);
      await expect(written, way).rejects.toThrow(new RegExp(message));
    }
    const { rows } = await sql`select id from "load" where id = 99`.execute(db);
    expect(rows).toEqual([]);
  });
});

describe('a time that a Date cannot hold', () => {
  let scratch: ScratchDatabase;
  let db: ReturnType<typeof createDatabase>;
  beforeAll(async () => {
    scratch = await createScratchDatabase(inject('postgresUrl'));
    db = createDatabase({ target: scratch.url, maxConnections: 1 });
  });
  afterAll(async () => {
    await db?.destroy();
    await scratch?.drop();
  });

  it.each([
    [`'infinity'::timestamptz`],
    [`'-infinity'::date`],
    [`'294276-12-31'::timestamp`],
    [`'5874897-12-31'::date`],
    [`array['2024-01-15', 'infinity']::timestamptz[]`],
  ])('%s rejects with the name of the column, and arrives as text with a cast', async (value) => {
    const query = sql`select 1 as one, ${sql.raw(value)} as until from generate_series(1, 3)`;
    const refusal = { code: 'unreadable-value', details: { column: 'until' } };
    await expect(query.execute(db)).rejects.toMatchObject(refusal);
    const cast = sql<{ until: string }>`select ${sql.raw(value)}::text as until`;
    expect((await cast.execute(db)).rows[0]?.until).toMatch(/infinity|\d{6}/);
  });

  it('rejects a stream, and the connection stays usable', async () => {
    const days = sql<{ day: Date }>`(
      select case when n < 5 then now() else 'infinity' end as day from generate_series(1, 9) n
    )`;
    const read = async () => {
      const seen: Date[] = [];
      const rows = db.selectFrom(days.as('days')).selectAll().stream(2);
      for await (const { day } of rows) seen.push(day);
    };
    for (let turn = 0; turn < 3; turn += 1) {
      await expect(read()).rejects.toMatchObject({ details: { column: 'day' } });
      expect((await sql`select 1 as one`.execute(db)).rows).toEqual([{ one: 1 }]);
    }
  });
});

describe('a connection', () => {
  it('learns a type that was created after it was opened, also in a transaction', async () => {
    const scratch = await createScratchDatabase(inject('postgresUrl'));
    const db = createDatabase({ target: scratch.url, maxConnections: 1 });
    try {
      for (let turn = 0; turn < 2; turn += 1) {
        await db.transaction().execute(async (transaction) => {
          await sql`create type mood as enum ('sad', 'ok')`.execute(transaction);
          await sql`create table moods (id integer, all_of_them mood[])`.execute(transaction);
          const moods = transaction.withTables<{ moods: { id: number; all_of_them: string[] } }>();
          const given = { id: 1, all_of_them: ['ok', 'sad'] };
          const row = moods.insertInto('moods').values(given).returningAll();
          expect(await row.execute()).toEqual([given]);
          await sql`drop table moods; drop type mood`.execute(transaction);
        });
      }
    } finally {
      await db.destroy();
      await scratch.drop();
    }
  });

  it('leaves no prepared statement behind after a stream', async () => {
    const db = createDatabase({ target: inject('postgresUrl'), maxConnections: 1 });
    const numbers = sql<{ n: number }>`(select n from generate_series(1, 9) n)`.as('numbers');
    for await (const { n } of db.selectFrom(numbers).selectAll().where('n', '>', 3).stream(2)) {
      if (n === 6) break;
    }
    const { rows } = await sql`select name from pg_prepared_statements`.execute(db);
    expect(rows).toEqual([]);
    await db.destroy();
  });
});
