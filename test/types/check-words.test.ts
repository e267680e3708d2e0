import { loadModule, parseSync } from 'libpg-query';
import { beforeAll, describe, expect, it } from 'vitest';
import { asNode, nodes } from '../../src/sql/tree.ts';
import { wordsOf } from '../../src/types/check-words.ts';

beforeAll(loadModule);

/** The words that the condition lists, by column. */
function listed(condition: string): Readonly<Record<string, readonly string[]>> {
  const [statement] = nodes(asNode(parseSync(`select ${condition}`)).stmts);
  const [target] = nodes(asNode(asNode(statement?.stmt).SelectStmt).targetList);
  const found = wordsOf(asNode(asNode(target?.ResTarget).val));
  return Object.fromEntries(found.map(({ column, words }) => [column, words]));
}

describe('a condition that lists the allowed words of a column', () => {
  it.each<[condition: string, ...words: string[]]>([
    ["tier in ('free', 'pro')", 'free', 'pro'],
    ["tier in ('pro')", 'pro'],
    ["tier = 'free'", 'free'],
    ["tier = 'free'::text", 'free'],
    ["(tier)::text = 'free'::text", 'free'],
    ["tier = any (array['free', 'pro'])", 'free', 'pro'],
    ["tier = ANY (ARRAY['free'::text, 'pro'::text])", 'free', 'pro'],
    [
      "((tier)::text = ANY ((ARRAY['free'::character varying, 'pro'::character varying])::text[]))",
      'free',
      'pro',
    ],
    ["((tier)::text = ANY (ARRAY[('free'::character varying)::text]))", 'free'],
    ["tier = 'free' or tier = 'pro'", 'free', 'pro'],
    ["tier = 'free' or tier in ('pro', 'max') or tier = 'free'", 'free', 'pro', 'max'],
    ["tier = 'free' or (tier = 'pro' or tier = 'max')", 'free', 'pro', 'max'],
    ["tier in ('free', 'pro') or tier is null", 'free', 'pro'],
    ["(tier)::text is null or (tier)::text = 'free'::text", 'free'],
    ["tier is null or tier = 'free' or tier = 'pro'", 'free', 'pro'],
    ["tier in ('free', 'pro') and length(tier) > 2", 'free', 'pro'],
    ["tier in ('free', 'pro') and tier <> 'pro'", 'free', 'pro'],
    ["tier is not null and (price > 0 and tier in ('free'))", 'free'],
    ["tier in ('', ' ', 'a b')", '', ' ', 'a b'],
    [`tier in ('it''s', '"so"', 'back\\slash')`, "it's", '"so"', 'back\\slash'],
    ["tier in ('naïve', '上')", 'naïve', '上'],
    ["tier in ('1', 'NULL')", '1', 'NULL'],
  ])('gives these words: %s', (condition, ...words) => {
    expect(listed(condition)).toEqual({ tier: words });
  });

  it('gives the words of every column of an AND', () => {
    expect(listed("tier in ('a') and price > 0 and (status = 'b' or status = 'c')")).toEqual({
      tier: ['a'],
      status: ['b', 'c'],
    });
  });

  it('gives the name of a quoted column without quotes', () => {
    expect(listed(`"The ""Tier"" a.b" in ('x')`)).toEqual({ 'The "Tier" a.b': ['x'] });
  });
});

describe('a condition that allows other words', () => {
  it.each([
    "tier not in ('free', 'pro')",
    "tier <> 'free'",
    "tier <> all (array['free', 'pro'])",
    "tier = all (array['free', 'pro'])",
    "tier > 'free'",
    "tier like 'free%'",
    "tier ~ '^(free|pro)$'",
    'tier is null',
    'tier is not null',
    "not (tier in ('free', 'pro'))",
    "(tier = 'free') is not false",
  ])('gives no words for another kind of comparison: %s', (condition) => {
    expect(listed(condition)).toEqual({});
  });

  it.each([
    "tier = 'free' or price > 0",
    "tier = 'free' or status = 'paid'",
    "tier in ('free', 'pro') or status is null",
    "tier in ('free', 'pro') or tier is not null",
    "tier in ('free', 'pro') or tier like 'x%'",
    "tier = 'free' or null",
    "(tier = 'free' and price > 0) or price = 0",
  ])('gives no words when another part of an OR can be true: %s', (condition) => {
    expect(listed(condition)).toEqual({});
  });

  it.each(["tier in ('free', null)", "tier = any (array['free', null::text])", 'tier = null'])(
    'gives no words with a NULL, because CHECK then accepts every word: %s',
    (condition) => {
      expect(listed(condition)).toEqual({});
    },
  );

  it.each([
    "lower(tier) in ('free', 'pro')",
    "btrim((tier)::text) = 'free'",
    "coalesce(tier, 'free') in ('free', 'pro')",
    "(tier)::character varying(4) = 'free'",
    "(tier)::bpchar = 'free'::bpchar",
    "(tier)::public.citext OPERATOR(public.=) ANY (ARRAY['free'::public.citext])",
    "tier OPERATOR(public.=) 'free'",
    `(tier collate "C") = 'free'`,
    "settings ->> 'tier' in ('free', 'pro')",
    "tiers[1] in ('free', 'pro')",
  ])('gives no words when another expression is compared: %s', (condition) => {
    expect(listed(condition)).toEqual({});
  });

  it.each([
    'tier = any (allowed)',
    "tier = any ('{free,pro}'::text[])",
    'tier = other',
    'tier = lower(other)',
    "tier in ('free', other)",
  ])('gives no words when it has no constant words: %s', (condition) => {
    expect(listed(condition)).toEqual({});
  });
});

it.each([
  'level in (1, 2)',
  'level = 1',
  'level = any (array[1, 2])',
  'price = 1.5',
  'is_on = true',
])('a condition gives no words for values that are not texts: %s', (condition) => {
  expect(listed(condition)).toEqual({});
});
