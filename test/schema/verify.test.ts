import { expect, inject, it } from 'vitest';
import { verify } from '../../src/schema/schema.ts';
import { runCli } from '../support/cli.ts';
import { errorOf } from '../support/errors.ts';
import { folderFlags, type Pairs, writePairs } from '../support/fixtures.ts';
import { writeSeeders } from '../support/seeding.ts';

const scratch = inject('postgresUrl');
const coins = {
  '20260101_120000_create_coins': [
    "create table coins (symbol text default 'BTC'); comment on table coins is 'Coins';",
    'drop table coins;',
  ],
} as const;

const verifyPairs = (
  pairs: Pairs,
  options: { readonly since?: string; readonly scratch?: string } = {},
) => verify({ ...writePairs(pairs), scratch, ...options });

it('verifies pairs that go up, down and up again, and the whole chain', async () => {
  const second = ['alter table coins add rank int;', 'alter table coins drop rank;'] as const;
  expect(await verifyPairs({ ...coins, '20260102_120000_add_rank': second })).toEqual({
    verified: [
      { version: '20260101_120000', description: 'create_coins' },
      { version: '20260102_120000', description: 'add_rank' },
    ],
    irreversible: [],
    broken: null,
    chain: { broken: null },
    rows: null,
  });
});

it.each([
  [
    'forgets an index',
    'create index coins_symbol on coins (symbol);',
    'select 1;',
    { change: 'changed', parts: [{ change: 'added', kind: 'index', name: 'coins_symbol' }] },
  ],
  [
    'changes a default',
    'alter table coins alter symbol drop default;',
    "alter table coins alter symbol set default 'ETH';",
    { parts: [{ facts: [{ fact: 'default', before: "'BTC'::text", after: "'ETH'::text" }] }] },
  ],
  [
    'loses a comment',
    "comment on table coins is 'All coins';",
    'comment on table coins is null;',
    { facts: [{ fact: 'comment', before: 'Coins', after: undefined }] },
  ],
  [
    'leaves a function',
    "create function one() returns int language sql as 'select 1';",
    'select 1;',
    { change: 'added', kind: 'function', name: 'public.one()' },
  ],
])('names the first pair whose rollback %s', async (_, up, down, difference) => {
  const later = ['select 2;', 'select 2;'] as const;
  const result = await verifyPairs({
    ...coins,
    '20260102_120000_faulty': [up, down],
    '20260103_120000_later': later,
  });
  expect(result).toMatchObject({
    verified: [{ version: '20260101_120000' }],
    broken: { version: '20260102_120000', step: 'rollback', differences: [difference] },
    chain: null,
  });
});

it('names a job of TimescaleDB that stays, on the embedded engine', async () => {
  const timescale = ['create extension timescaledb;', 'drop extension timescaledb;'] as const;
  const tidy = [
    `create procedure tidy(job_id int, config jsonb) language sql as 'select 1';
    select add_job('tidy', interval '1 day');`,
    'drop procedure tidy;',
  ] as const;
  const pairs = { '20260101_120000_timescaledb': timescale, '20260102_120000_tidy': tidy };
  expect(await verifyPairs(pairs, { scratch: 'embedded' })).toMatchObject({
    verified: [{ version: '20260101_120000' }],
    broken: {
      version: '20260102_120000',
      step: 'rollback',
      differences: [{ change: 'added', kind: 'job' }],
    },
  });
});

it('names a pair that makes another schema the second time', async () => {
  const up = `do $$ begin
    if to_regclass('left_behind') is null then create table coins (a int);
    else create table coins (b int); end if; end $$;`;
  const down = 'drop table coins; create sequence cryptosense_db.left_behind;';
  const { broken } = await verifyPairs({
    '20260101_120000_twice': [up.replace('left_behind', 'cryptosense_db.left_behind'), down],
  });
  expect(broken).toMatchObject({
    step: 'second apply',
    differences: [{ name: 'public.coins', change: 'changed' }],
  });
});

it('names a pair whose rollback fails, with what the server said', async () => {
  const { verified, broken } = await verifyPairs({
    ...coins,
    '20260102_120000_wrong': ['create table prices ();', 'drop table price;'],
  });
  expect(verified).toHaveLength(1);
  expect(broken).toMatchObject({ version: '20260102_120000', step: 'rollback' });
  expect(JSON.stringify(broken?.problems)).toContain('table \\"price\\" does not exist');
});

it('refuses a folder of seeders without development data', async () => {
  await errorOf('bad-configuration', () => verify({ scratch, seeds: 'seeds' }));
});

it('passes over pairs that cannot be undone, and lists them', async () => {
  const result = await verifyPairs({
    ...coins,
    '20260102_120000_forget': [
      'alter table coins drop symbol;',
      '-- Irreversible: the values are gone\n',
    ],
  });
  expect(result).toMatchObject({
    verified: [{ version: '20260101_120000' }],
    irreversible: [{ version: '20260102_120000', reason: 'the values are gone' }],
    broken: null,
    chain: null,
  });
});

it('verifies the pairs since a version, and refuses one that is not there', async () => {
  const faulty = ['create table early (a int);', 'select 1;'] as const;
  const pairs = { '20260101_110000_faulty': faulty, ...coins };
  expect(await verifyPairs(pairs, { since: '20260101_120000' })).toMatchObject({
    verified: [{ version: '20260101_120000' }],
    broken: null,
    chain: null,
  });
  await errorOf('unknown-version', () => verifyPairs(pairs, { since: '20260101_130000' }));
});

const seeds = () =>
  writeSeeders({
    dev: {
      '01_coins': `await load('coins', {
        rows: [{ code: 'BTC', price: '1.25', rank: 1 }, { code: 'ETH', price: '2.5', rank: null }],
        total: 2,
      });`,
    },
  });
const pairsWithRows: Pairs = {
  '20260101_120000_create_coins': ['create table coins (symbol text);', 'drop table coins;'],
  '20260102_120000_add_price': [
    'alter table coins add price numeric(8, 2);',
    'alter table coins drop price;',
  ],
  '20260103_120000_rename': [
    'alter table coins rename symbol to code;',
    'alter table coins rename code to symbol;',
  ],
  '20260104_120000_more_digits': [
    'alter table coins alter price type numeric(8, 3);',
    'alter table coins alter price type numeric(8, 1);\n' +
      'alter table coins alter price type numeric(8, 2);',
  ],
  '20260105_120000_add_rank': [
    'alter table coins add rank int; create table empty (id int);',
    'delete from coins where rank is null; drop table empty;\nalter table coins drop rank;',
  ],
};

it('names the rows and values that a rollback loses, and not those that got another name', async () => {
  const { rows } = await verify({
    ...writePairs(pairsWithRows),
    scratch,
    seed: 'dev',
    seeds: seeds(),
  });
  const table = 'public.coins';
  expect(rows).toEqual({
    rolledBack: 5,
    losses: [
      { version: '20260105_120000', description: 'add_rank', lost: 'rows', table, rows: 1 },
      {
        version: '20260105_120000',
        description: 'add_rank',
        lost: 'column',
        table,
        column: 'rank',
        values: 1,
      },
      {
        version: '20260104_120000',
        description: 'more_digits',
        lost: 'values',
        table,
        column: 'price',
        values: 1,
      },
      {
        version: '20260102_120000',
        description: 'add_price',
        lost: 'column',
        table,
        column: 'price',
        values: 1,
      },
      { version: '20260101_120000', description: 'create_coins', lost: 'table', table, rows: 1 },
    ],
  });
});

it('rolls back with rows only what is newer than a pair that cannot be undone', async () => {
  const newest = Object.entries(pairsWithRows).at(-1) ?? [];
  const words = [
    'migrate',
    'verify',
    ...['--scratch', scratch, '--seed', 'dev', '--seeds', seeds()],
    ...folderFlags(
      writePairs({
        '20260101_120000_create_coins': [
          'create table coins (code text, price numeric(8, 2));',
          '-- Irreversible: the coins are gone\n',
        ],
        ...Object.fromEntries([newest]),
      }),
    ),
  ];
  const { code, stdout } = await runCli(words);
  expect(code).toBe(0);
  expect(stdout).toBe(
    [
      'irreversible  20260101_120000_create_coins: the coins are gone',
      '1 rollback with development data; what they lose:',
      '  20260105_120000  1 row of public.coins',
      '  20260105_120000  column public.coins.rank, 1 value',
      '1 pair verified, 1 irreversible: each rollback brings back the schema',
      '',
    ].join('\n'),
  );
});

it('exits with 1 and shows what differs', async () => {
  const folders = writePairs({
    '20260101_120000_create_coins': ['create table coins ();', 'select 1;'],
  });
  const words = ['migrate', 'verify', '--scratch', scratch, ...folderFlags(folders)];
  const { code, stdout } = await runCli(words);
  expect(code).toBe(1);
  expect(stdout).toBe(
    [
      '20260101_120000_create_coins: its rollback does not bring back the schema from before',
      '  + table public.coins',
      '0 pairs verified before it: broken',
      '',
    ].join('\n'),
  );
});
