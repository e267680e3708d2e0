import { expect, inject, it } from 'vitest';
import { verify } from '../../src/schema/schema.ts';
import { runCli } from '../support/cli.ts';
import { errorOf } from '../support/errors.ts';
import { folderFlags, type Pairs, writePairs } from '../support/fixtures.ts';

const scratch = inject('postgresUrl');
const coins = {
  '20260101_120000_create_coins': [
    "create table coins (symbol text default 'BTC'); comment on table coins is 'Coins';",
    'drop table coins;',
  ],
} as const;

const verifyPairs = (pairs: Pairs, options: { readonly since?: string } = {}) =>
  verify({ ...writePairs(pairs), scratch, ...options });

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
    broken: { version: '20260102_120000', after: 'rollback', differences: [difference] },
    chain: null,
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
    after: 'second apply',
    differences: [{ name: 'public.coins', change: 'changed' }],
  });
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
      '0 pairs verified: broken',
      '',
    ].join('\n'),
  );
});
