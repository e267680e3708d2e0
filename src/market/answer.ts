import * as v from 'valibot';
import { dayMs } from '../runtime/days.ts';
import { CryptosenseDbError, type Problem } from '../runtime/errors.ts';
import type { MarketAsset } from './market.ts';

/** The limits of the columns, which NUMERIC(precision, scale) sets. */
const most = {
  price: { below: 1e12, decimals: 8 },
  money: { below: 1e18, decimals: 2 },
  percent: { below: 1e8, decimals: 2 },
} as const;
const mostRank = 2 ** 31 - 1;
const lengths = { id: 100, symbol: 100, name: 255 } as const;

/** Checks a number after the rounding that its column does. */
const figure = ({ below, decimals }: (typeof most)[keyof typeof most], isSigned = false) =>
  v.nullish(
    v.pipe(
      v.number('is not a number'),
      v.check((value) => isSigned || value >= 0, 'is below zero'),
      v.check(
        (value) => Math.abs(Number(value.toFixed(decimals))) < below,
        `is too large for its column, which holds less than ${below}`,
      ),
    ),
    null,
  );

const words = (length: number) =>
  v.pipe(
    v.string('is not a text'),
    v.trim(),
    v.nonEmpty('is empty'),
    v.check((text) => !/\p{Cc}/u.test(text), 'has a control character'),
    v.maxLength(length, `is longer than the ${length} characters of its column`),
  );

/** The fields that this tool reads of a row of `/coins/markets`. Every number can be null. */
const rowSchema = v.object({
  id: words(lengths.id),
  symbol: words(lengths.symbol),
  name: words(lengths.name),
  image: v.nullish(
    v.pipe(
      v.string('is not a text'),
      v.check((text) => !/\p{Cc}/u.test(text), 'has a control character'),
    ),
    null,
  ),
  current_price: figure(most.price),
  market_cap: figure(most.money),
  market_cap_rank: v.nullish(
    v.pipe(
      v.number('is not a number'),
      v.integer('is not a whole number'),
      v.minValue(1, 'is below 1'),
      v.maxValue(mostRank, 'is too large for its column'),
    ),
    null,
  ),
  total_volume: figure(most.money),
  price_change_percentage_1h_in_currency: figure(most.percent, true),
  price_change_percentage_24h_in_currency: figure(most.percent, true),
  price_change_percentage_7d_in_currency: figure(most.percent, true),
  last_updated: v.nullish(
    v.pipe(
      v.string('is not a text'),
      v.check(isMoment, 'is not a time between the start of Bitcoin and tomorrow'),
    ),
    null,
  ),
});

const isoMoment = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:?\d{2})$/;
const bitcoinBegan = Date.parse('2009-01-03T00:00:00Z');

function isMoment(text: string): boolean {
  const moment = isoMoment.test(text) ? Date.parse(text) : Number.NaN;
  return moment >= bitcoinBegan && moment < Date.now() + dayMs;
}

type Row = v.InferOutput<typeof rowSchema>;

/** How many faults an error lists. */
const shown = 10;

/**
 * The first `top` assets of an answer. Checks that there are `top` assets, that each comes once, and
 * that every figure fits its column. Throws `faulty-answer`, which names `source` and up to ten faults.
 */
export function readAnswer(
  rows: readonly unknown[],
  { source, top }: { readonly source: string; readonly top: number },
): readonly MarketAsset[] {
  const problems: Problem[] = [];
  const assets: MarketAsset[] = [];
  for (const [index, row] of rows.slice(0, top).entries()) {
    const { success, output, issues } = v.safeParse(rowSchema, row);
    if (success) assets.push(assetOf(output));
    else problems.push(...issues.map((issue) => describe(issue, { row, index })));
  }
  const seen = new Set<string>();
  for (const { id } of assets) {
    if (seen.has(id)) problems.push({ message: `"${id}" appears twice` });
    seen.add(id);
  }
  if (rows.length < top) {
    problems.unshift({
      message: `it has ${rows.length} of the ${top} requested assets`,
      hint: rows.length > 0 ? `ask for fewer: --top ${rows.length}` : 'look at the answer',
    });
  }
  if (problems.length > 0) throw faultyAnswer(source, problems);
  return assets;
}

/** Whether an asset appears more than once, as it does when ranks change between two pages. */
export function hasRepeats(rows: readonly unknown[]): boolean {
  const ids = rows.map((row) => (row as { readonly id?: unknown } | null)?.id);
  return new Set(ids).size < ids.length;
}

export function faultyAnswer(
  source: string,
  problems: readonly Problem[],
): CryptosenseDbError<'faulty-answer'> {
  const more = problems.length - shown;
  return new CryptosenseDbError(
    'faulty-answer',
    [
      { message: `${source} cannot be used` },
      ...problems.slice(0, shown),
      ...(more > 0 ? [{ message: `and ${more} more faults` }] : []),
    ],
    { details: { source } },
  );
}

function assetOf(row: Row): MarketAsset {
  return {
    id: row.id,
    symbol: row.symbol.toUpperCase(),
    name: row.name,
    imageUrl: row.image,
    rank: row.market_cap_rank,
    priceUsd: row.current_price,
    marketCapUsd: row.market_cap,
    volume24hUsd: row.total_volume,
    change1h: row.price_change_percentage_1h_in_currency,
    change24h: row.price_change_percentage_24h_in_currency,
    change7d: row.price_change_percentage_7d_in_currency,
    updatedAt: row.last_updated === null ? null : new Date(row.last_updated),
  };
}

/** `row 17 ("pepe"): market_cap is 1e+21, which is too large for its column, …` */
function describe(
  issue: v.BaseIssue<unknown>,
  { row, index }: { readonly row: unknown; readonly index: number },
): Problem {
  const id = (row as { readonly id?: unknown } | null)?.id;
  const name = typeof id === 'string' && id !== '' ? ` ("${id}")` : '';
  const field = v.getDotPath(issue);
  const place = `row ${index + 1}${name}`;
  if (field === null) return { message: `${place} is not an object` };
  const value = JSON.stringify(issue.input);
  return value === undefined
    ? { message: `${place} has no ${field}` }
    : { message: `${place}: ${field} is ${value.slice(0, 60)}, which ${issue.message}` };
}
