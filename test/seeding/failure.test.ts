import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, inject, it, onTestFinished } from 'vitest';
import * as migrate from '../../src/migrations/migrate.ts';
import { isError } from '../../src/runtime/errors.ts';
import * as seeding from '../../src/seeding/seed.ts';
import { errorDocument } from '../../src/ui/render.ts';
import { createScratchRole } from '../support/databases.ts';
import { scratchDatabase } from '../support/recovery.ts';
import { coinsSchema, writeSeeders } from '../support/seeding.ts';

/** `id` of coin n. */
const idOf = (number: number) => `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;

const loadOne = (number: number, name: string) =>
  `await load('coins', { rows: [{ id: '${idOf(number)}', name: '${name}', amount: 1 }], total: 1 });`;

/** A plain PostgreSQL with one table, `coins`, and seeders for it. */
async function seedCoins(seeders: Readonly<Record<string, string>>) {
  const database = await scratchDatabase();
  const folders = coinsSchema();
  await migrate.up({ target: database.url, ...folders });
  const options = { target: database.url, ...folders };
  return {
    database,
    options,
    seeded: seeding.dev({ ...options, seeds: writeSeeders({ dev: seeders }) }),
    names: async () => {
      const rows = await database.sql<{ name: string }[]>`select name from coins order by name`;
      return rows.map(({ name }) => name);
    },
    recorded: async () => {
      const rows = await database.sql<{ seeder: string }[]>`
        select seeder from cryptosense_db.seed_runs order by id`;
      return rows.map(({ seeder }) => seeder);
    },
  };
}

describe('a seeder that fails', () => {
  const row = (over: string) => `{ id: '${idOf(9)}', name: 'x', amount: 1, ...${over} }`;
  it.each([
    [
      'a row that is refused',
      `load('coins', { rows: [${row("{ amount: 'hunter2' }")}], total: 1 })`,
    ],
    [
      'a row with a duplicate',
      `load('coins', { rows: [${row("{ name: 'hunter2' }")}, ${row(`{ id: '${idOf(8)}', name: 'hunter2' }`)}], total: 2 })`,
    ],
    [
      'a query that the seeder reports in its own words',
      `db.insertInto('coins').values({ id: 'hunter2' }).execute().catch((cause) => {
        throw new Error('it failed: ' + cause.message, { cause });
      })`,
    ],
  ])('shows no value of %s, and its details keep what the server said', async (_, work) => {
    const { seeded } = await seedCoins({ '01_first': `await ${work};` });
    const error = await seeded.catch((reason: unknown) => reason);
    if (!isError(error, 'seed-failed')) throw error;
    expect(inspect(error, { depth: 9 })).not.toContain('hunter2');
    expect(JSON.stringify([error, errorDocument(error)])).not.toContain('hunter2');
    if (error.details.sqlState !== '') {
      expect(JSON.stringify(errorDocument(error, { isVerbose: true }))).toContain('hunter2');
    }
  });

  it.each([
    [
      'a duplicate',
      `load('coins', { rows: [${row("{ name: 'first' }")}], total: 1 })`,
      {
        sqlState: '23505',
        table: 'coins',
        constraint: 'coins_name_key',
        words: ['table public.coins, columns (name), constraint', 'COPY coins, line 1'],
      },
    ],
    [
      'a check',
      `load('coins', { rows: [${row('{ amount: 0 }')}], total: 1 })`,
      {
        sqlState: '23514',
        table: 'coins',
        constraint: 'coins_amount_check',
        words: ['COPY coins, line 1'],
      },
    ],
    [
      'a bad value',
      `load('coins', { rows: [${row('{}')}, ${row("{ amount: 'much' }")}], total: 2 })`,
      {
        sqlState: '22P02',
        words: ['COPY coins, line 2, column amount'],
      },
    ],
    [
      'a bad value behind the first batch of a COPY',
      `load('coins', {
        rows: Array.from({ length: 5_001 }, (_, n) => ({
          id: '5eed0000-0000-4000-8000-' + String(n).padStart(12, '0'),
          name: 'coin ' + n,
          amount: n === 5_000 ? 'much' : 1,
        })),
        total: 5_001,
      })`,
      {
        sqlState: '22P02',
        words: ['COPY coins, line 5001, column amount'],
      },
    ],
    [
      'a row without its columns',
      `load('coins', { rows: [${row('{}')}, { id: 'x' }], total: 2 })`,
      {
        sqlState: '',
        words: ['row 2 has no "name", which the first row has'],
      },
    ],
    [
      'a missing table',
      `load('tokens', { rows: [${row('{}')}], total: 1 })`,
      {
        sqlState: '42P01',
        words: ['relation "public.tokens" does not exist'],
      },
    ],
    [
      'a query',
      "db.insertInto('coins').values({ name: 'x' }).execute()",
      {
        sqlState: '23502',
        table: 'coins',
        words: ['null value in column "id"'],
      },
    ],
    [
      'an error of its own',
      "Promise.reject(new Error('no such planet'))",
      {
        sqlState: '',
        words: ['no such planet'],
      },
    ],
    [
      'an error that it catches',
      "db.selectFrom('nowhere').execute().catch(() => {})",
      {
        sqlState: '25P02',
        words: ['current transaction is aborted'],
      },
    ],
  ])(
    'is named in the error with the place of %s, and the earlier rows stay',
    async (_, work, expected) => {
      const { seeded, names, recorded } = await seedCoins({
        '01_first': loadOne(1, 'first'),
        '02_second': `${loadOne(2, 'second')} await ${work};`,
        '03_third': loadOne(3, 'third'),
      });
      const error = await seeded.catch((reason: unknown) => reason);
      if (!isError(error, 'seed-failed')) throw error;
      const { words, ...details } = expected;
      expect(error.details).toMatchObject({
        seeder: '02_second',
        completed: ['01_first'],
        pending: ['03_third'],
        ...details,
      });
      expect(error.message).toMatch(/^02_second stopped: /);
      for (const word of words) expect(error.message).toContain(word);
      expect(error.message).toContain('seeded before it: 1, it is rolled back, still to do: 1');
      expect(await names()).toEqual(['first']);
      expect(await recorded()).toEqual(['01_first']);
    },
  );

  it('leaves no mark on the database when it is the first seeder', async () => {
    const { seeded, options } = await seedCoins({ '01_first': `throw new Error('not yet');` });
    await expect(seeded).rejects.toThrow('not yet');
    expect((await migrate.status(options)).environment).toBeUndefined();
  });

  it('is reported when it starts two loads at once', async () => {
    const { seeded, names } = await seedCoins({
      '01_first': `await Promise.all([1, 2].map((n) => load('coins', { rows: [], total: n })));`,
    });
    await expect(seeded).rejects.toThrow('await each load and merge');
    expect(await names()).toEqual([]);
  });

  it('runs again after its repair, without the seeders before it', async () => {
    const { seeded, options, names } = await seedCoins({
      '01_first': loadOne(1, 'first'),
      '02_second': `throw new Error('not yet');`,
    });
    await expect(seeded).rejects.toThrow('not yet');
    const seeds = writeSeeders({ dev: { '02_second': loadOne(2, 'second') } });
    await seeding.dev({ ...options, seeds, only: ['second'] });
    expect(await names()).toEqual(['first', 'second']);
  });

  it('leaves no rows of any seeder in a dry run', async () => {
    const { seeded, options, database } = await seedCoins({ '01_first': '' });
    await seeded;
    const seeds = writeSeeders({
      dev: { '01_first': loadOne(1, 'first'), '02_second': `throw new Error('no');` },
    });
    await expect(seeding.dev({ ...options, seeds, dryRun: true })).rejects.toThrow('no');
    expect(await database.sql`select from coins`).toHaveLength(0);
  });
});

describe('the afterwards function of a seeder', () => {
  /** A folder with one seeder. Its afterwards function does `work`, and then writes its outcomes into `done`. */
  const withAfterwards = (work: string) => {
    const root = writeSeeders({ dev: { '01_coins': 'return seed;' } });
    const file = join(root, 'dev', '01_coins.mjs');
    const text = readFileSync(file, 'utf8').replace(
      /\},\n\s*\};\s*$/,
      () => `},
        afterwards: async ({ db }, outcomes) => {
          ${work}
          await sql\`insert into done values (\${JSON.stringify(outcomes)}::text)\`.execute(db);
        },
      };`,
    );
    writeFileSync(file, text);
    return root;
  };

  it('is recorded when it fails, and the next run calls it', async () => {
    const { seeded, database, options, recorded } = await seedCoins({ '01_first': '' });
    await seeded;
    await database.sql`create table done (outcomes text)`;
    const failing = withAfterwards("throw new Error('the view is away');");
    const refused = seeding.dev({ ...options, seeds: failing, seed: 5 });
    await expect(refused).rejects.toMatchObject({ code: 'seed-failed' });
    await expect(refused).rejects.toThrow(
      /the view is away[\s\S]*its rows are committed, its remaining work is not done: run it again/,
    );
    expect(await recorded()).toEqual(['01_first', '01_coins']);
    await seeding.dev({ ...options, seeds: withAfterwards(''), seed: 6 });
    expect(await database.sql`select outcomes from done`).toEqual([{ outcomes: '[5,6]' }]);
    expect(await database.sql`select from cryptosense_db.seed_afterwards`).toHaveLength(0);
  });

  it('runs again when a lock stops it', async () => {
    const { seeded, database, options } = await seedCoins({ '01_first': '' });
    await seeded;
    await database.sql`create table done (outcomes text)`;
    const seeds = withAfterwards(`
      globalThis.triesAfterwards = (globalThis.triesAfterwards ?? 0) + 1;
      if (globalThis.triesAfterwards < 3) {
        await sql\`do $$ begin raise exception using errcode = 'lock_not_available'; end $$\`.execute(db);
      }`);
    await seeding.dev({ ...options, seeds, seed: 7 });
    expect(await database.sql`select outcomes from done`).toEqual([{ outcomes: '[7]' }]);
  });
});

describe('merge', () => {
  const merge = (rows: string) => `
    await merge('coins', {
      rows: [${rows}].map(([n, name, amount]) => ({
        id: '00000000-0000-4000-8000-' + String(n).padStart(12, '0'), name, amount,
      })),
      total: 1,
      ids: { from: '${idOf(100)}', to: '${idOf(199)}' },
    });`;

  it('inserts new rows, updates changed rows, deletes missing rows and keeps the others', async () => {
    const { seeded, options, database } = await seedCoins({
      '01_coins': merge("[100, 'a', 1], [101, 'b', 2], [102, 'c', 3], [1, 'named', 4]"),
    });
    await seeded;
    await database.sql`insert into coins values (${idOf(7)}, 'own', 9)`;
    const xmins = async () => {
      const rows = await database.sql<{ name: string; xmin: string; amount: string }[]>`
        select name, xmin::text, amount::float from coins order by id`;
      return rows.map(({ name, xmin, amount }) => ({ name, xmin, amount }));
    };
    const before = await xmins();
    const seeds = writeSeeders({
      dev: { '01_coins': merge("[100, 'a', 1], [101, 'b', 5], [103, 'd', 6], [1, 'named', 4]") },
    });
    await seeding.dev({ ...options, seeds });
    const after = await xmins();
    expect(after.map(({ name, amount }) => [name, amount])).toEqual([
      ['named', 4],
      ['own', 9],
      ['a', 1],
      ['b', 5],
      ['d', 6],
    ]);
    const untouched = ['named', 'own', 'a'];
    for (const name of untouched) {
      expect(after.find((row) => row.name === name)).toEqual(
        before.find((row) => row.name === name),
      );
    }
  });

  it('leaves out and reports rows whose unique key another row has', async () => {
    const kept = (rows: string) => merge(rows).replace('total: 1,', "total: 1, others: 'keep',");
    const { seeded, options, database, names } = await seedCoins({
      '01_coins': kept("[100, 'a', 1], [101, 'b', 2]"),
    });
    await seeded;
    await database.sql`update coins set name = 'moved' where name = 'b'`;
    await database.sql`insert into coins values (${idOf(7)}, 'b', 9)`;
    const seeds = writeSeeders({ dev: { '01_coins': kept("[100, 'a', 4], [101, 'b', 2]") } });
    const { seeders } = await seeding.dev({ ...options, seeds });
    expect(seeders).toMatchObject([
      {
        tables: [{ table: 'coins', rows: 1 }],
        notes: ['1 rows of coins left out: other rows already have their place'],
      },
    ]);
    expect(await names()).toEqual(['a', 'b']);
    const [row] = await database.sql`select amount::int from coins where name = 'a'`;
    expect(row).toEqual({ amount: 4 });
  });

  it('deletes every row in the range when no rows are given', async () => {
    const { seeded, options, names } = await seedCoins({
      '01_coins': merge("[100, 'a', 1], [1, 'named', 4]"),
    });
    await seeded;
    await seeding.dev({ ...options, seeds: writeSeeders({ dev: { '01_coins': merge('') } }) });
    expect(await names()).toEqual(['named']);
  });
});

describe('the context of a seeder', () => {
  it('has the moment, the seed and the scale, and accepts notes and counts', async () => {
    const now = new Date('2026-01-02T03:04:05Z');
    const { options, seeded } = await seedCoins({ '01_none': '' });
    await seeded;
    const seeds = writeSeeders({
      dev: {
        '01_coins': `${loadOne(1, 'first')}
          note([now.toISOString(), seed, scale].join(' '));
          context.wrote('coins', 2);`,
      },
    });
    const { seeders } = await seeding.dev({ ...options, seeds, now, seed: 3, scale: 4 });
    expect(seeders).toMatchObject([
      {
        name: '01_coins',
        description: 'of a test',
        tables: [{ table: 'coins', rows: 3 }],
        notes: ['2026-01-02T03:04:05.000Z 3 4'],
      },
    ]);
  });

  it('is refused to a role that may not record runs, and the error names the right', async () => {
    const database = await scratchDatabase();
    const options = { target: database.url, ...coinsSchema() };
    await migrate.up({ ...options, environment: 'dev' });
    const role = await createScratchRole(inject('postgresUrl'));
    onTestFinished(async () => {
      await database.sql.unsafe(`drop owned by ${role.name}`);
      await role.drop();
    });
    await database.sql.unsafe(
      `grant usage on schema cryptosense_db to ${role.name};
       grant select on all tables in schema cryptosense_db to ${role.name}`,
    );
    const seeds = writeSeeders({ dev: { '01_first': '' } });
    await expect(
      seeding.dev({ ...options, target: role.urlOf(database.url), seeds }),
    ).rejects.toMatchObject({
      code: 'not-permitted',
      problems: [{ hint: expect.stringContaining('grant usage on schema cryptosense_db') }],
    });
  });

  it('has only the rights of the role that runs it', async () => {
    const { database, options, seeded } = await seedCoins({ '01_first': loadOne(1, 'first') });
    await seeded;
    const role = await createScratchRole(database.url);
    onTestFinished(async () => {
      await database.sql.unsafe(`drop owned by ${role.name}`);
      await role.drop();
    });
    await database.sql.unsafe(
      `grant usage on schema cryptosense_db to ${role.name};
       grant select on all tables in schema cryptosense_db to ${role.name};
       grant insert on cryptosense_db.seed_runs, cryptosense_db.environment to ${role.name};
       grant insert, update, delete on cryptosense_db.seed_afterwards to ${role.name}`,
    );
    const seeds = writeSeeders({ dev: { '01_second': loadOne(2, 'second') } });
    const target = role.urlOf(database.url);
    await expect(seeding.dev({ ...options, target, seeds })).rejects.toMatchObject({
      code: 'seed-failed',
      details: { sqlState: '42501' },
    });
    await database.sql.unsafe(`grant select, insert on coins to ${role.name}`);
    await seeding.dev({ ...options, target, seeds });
  });
});

describe('a moment', () => {
  it.each(['2009-01-02T00:00:00Z', '2100-01-02T00:00:00Z', '-000001-01-01T00:00:00Z', 'never'])(
    '%s is refused',
    async (text) => {
      const options = { target: 'postgresql://nobody@127.0.0.1:1/x', now: new Date(text) };
      await expect(seeding.dev(options)).rejects.toMatchObject({ code: 'bad-configuration' });
    },
  );
});

it('seeding does not change rows of another schema in the search path', async () => {
  const { database, options, seeded, names } = await seedCoins({ '01_first': '' });
  await seeded;
  await database.sql.unsafe(`
    create schema app;
    create table app.coins (like public.coins);
    insert into app.coins values ('${idOf(1)}', 'theirs', 1, null);
    do $$ begin execute format('alter database %I set search_path = app, public', current_database()); end $$`);
  const seeds = writeSeeders({
    dev: { '01_coins': `await db.deleteFrom('coins').execute(); ${loadOne(1, 'ours')}` },
  });
  await seeding.dev({ ...options, seeds });
  expect(await names()).toEqual(['ours']);
  expect(await database.sql`select name from app.coins`).toEqual([{ name: 'theirs' }]);
});

it('the record of runs refuses updates and deletes', async () => {
  const { database, seeded } = await seedCoins({ '01_first': '' });
  await seeded;
  for (const statement of [
    'delete from cryptosense_db.seed_runs',
    "update cryptosense_db.seed_runs set seeder = 'x'",
    'truncate cryptosense_db.seed_runs',
  ]) {
    await expect(database.sql.unsafe(statement)).rejects.toThrow('append-only');
  }
});
