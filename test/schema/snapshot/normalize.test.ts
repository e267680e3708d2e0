import { beforeAll, expect, it } from 'vitest';
import { normalizeExpression, normalizeQuery } from '../../../src/schema/snapshot/normalize.ts';
import { loadGrammar, type Parse } from '../../../src/sql/parse.ts';

let parse: Parse;
beforeAll(async () => {
  ({ parse } = await loadGrammar());
});

it.each([
  [
    "CHECK (tier::text = ANY (ARRAY['free'::character varying, 'pro'::character varying]::text[]))",
    "CHECK (tier::text = ANY (ARRAY['free'::character varying::text, 'pro'::character varying::text]))",
  ],
  ["ARRAY['a''b, c]', 'd']::text[]", "ARRAY['a''b, c]'::text, 'd'::text]"],
  ['ARRAY[1, 2]::numeric(20,8)[]', 'ARRAY[1::numeric(20,8), 2::numeric(20,8)]'],
  ['ARRAY[a + 1, f(b, c)]::bigint[]', 'ARRAY[(a + 1)::bigint, f(b, c)::bigint]'],
  ['ARRAY[(a + 1) * (b + 2)]::bigint[]', 'ARRAY[((a + 1) * (b + 2))::bigint]'],
  ["ARRAY[(a || ')')::text]::name[]", "ARRAY[(a || ')')::text::name]"],
  ["ARRAY['x'::text]::text[]", "ARRAY['x'::text]"],
  ["ARRAY['x']::public.mood[]", "ARRAY['x'::public.mood]"],
  ['ARRAY[ARRAY[1, 2], ARRAY[3, 4]]', 'ARRAY[ARRAY[1, 2], ARRAY[3, 4]]'],
  ['ARRAY[]::text[]', 'ARRAY[]::text[]'],
  [`"ARRAY[x]" = 'ARRAY[1]::int[]'`, `"ARRAY[x]" = 'ARRAY[1]::int[]'`],
  ['quantity >= 0::numeric', 'quantity >= 0::numeric'],
])('%s becomes %s, which stays', (given, expected) => {
  expect(normalizeExpression(given)).toBe(expected);
  expect(normalizeExpression(expected)).toBe(expected);
});

it.each([
  [' SELECT coins.symbol\n   FROM coins;', 'SELECT symbol\n   FROM coins'],
  ['SELECT c.symbol FROM coins c WHERE c.price > 0', 'SELECT symbol FROM coins c WHERE price > 0'],
  ['SELECT "Coins"."Né" FROM "Coins"', 'SELECT "Né" FROM "Coins"'],
  [
    "SELECT 'é'::text AS é, coins.symbol FROM coins WHERE (EXISTS ( SELECT FROM prices WHERE prices.symbol = coins.symbol))",
    "SELECT 'é'::text AS é, symbol FROM coins WHERE (EXISTS ( SELECT FROM prices WHERE prices.symbol = coins.symbol))",
  ],
  [
    'SELECT lower(t.x) AS x, t.y, t.z AS y FROM t ORDER BY t.x, t.y, t.z, (t.x || t.y)',
    'SELECT lower(x) AS x, y, z AS y FROM t ORDER BY t.x, t.y, z, (x || y)',
  ],
  [
    'SELECT DISTINCT ON (t.x) lower(t.x) AS x FROM t GROUP BY t.x',
    'SELECT DISTINCT ON (t.x) lower(x) AS x FROM t GROUP BY x',
  ],
  ['SELECT f(t.*) AS f, t.x FROM t', 'SELECT f(t.*) AS f, x FROM t'],
  ['SELECT a.x FROM a JOIN b ON a.id = b.id', 'SELECT a.x FROM a JOIN b ON a.id = b.id'],
  ['SELECT a.x FROM a UNION SELECT b.x FROM b', 'SELECT a.x FROM a UNION SELECT b.x FROM b'],
])('the query %s becomes %s', (given, expected) => {
  expect(normalizeQuery(given, parse)).toBe(expected);
  expect(normalizeQuery(expected, parse)).toBe(expected);
});
