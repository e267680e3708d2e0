import * as v from 'valibot';
import { dayMs } from '../runtime/days.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import { faultyAnswer } from './answer.ts';
import { addressOf, type CoinGeckoOptions, createAsker, rateLimitOf } from './coingecko.ts';
import {
  type Price,
  type PricedAsset,
  type PriceQuery,
  type PriceSource,
  splitRange,
  startOf,
} from './prices.ts';
import { pacedMs } from './rate-limit.ts';

/** A range of more than 90 days has daily prices, a shorter one hourly prices (CoinGecko, market_chart/range). */
const hourlyRangeMs = 90 * dayMs;
/** Keeps a request for daily prices in the granularity of days, and its answer small. */
const dailyRangeMs = 5 * 366 * dayMs;
/** An assumption: an answer of 90 days has some 200 kB. */
const answerMs = 400;
/** History that a Demo key and no key have. */
const demoDays = 365;

/** `[milliseconds, value]`, where a value can be null. */
const series = v.array(v.tuple([v.number(), v.nullable(v.number())]));
const chartSchema = v.object({
  prices: series,
  market_caps: v.optional(series, []),
  total_volumes: v.optional(series, []),
});

/** CoinGecko's `/coins/{id}/market_chart/range`, with market capitalization and 24-hour volume. */
export function createCoinGeckoSource(
  options: CoinGeckoOptions,
  { now }: { readonly now: number },
): PriceSource {
  const { plan = 'demo' } = options;
  const ask = createAsker(options);
  const limit = rateLimitOf(options);
  const address: PriceSource['address'] = ({ asset: { id } }) =>
    `${addressOf(options)}/coins/${id}/market_chart/range`;
  return {
    name: 'coingecko',
    oldest:
      plan === 'pro'
        ? undefined
        : {
            time: startOf(now, 'daily') - (demoDays - 1) * dayMs,
            reason: `CoinGecko's Demo plan ends after ${demoDays} days`,
            hint: `ask for --days ${demoDays}, set COINGECKO_PLAN=pro with a Pro key, or use --source binance`,
          },
    newest: now,
    findUnknown: () => [],
    split: (query) =>
      splitRange(query.range, query.interval === 'hourly' ? hourlyRangeMs : dailyRangeMs).map(
        (range) => ({ ...query, range, requests: 1 }),
      ),
    estimateMs: (requests) => pacedMs(requests, limit, { answerMs }),
    address,
    async *read(query) {
      const { asset, range } = query;
      const chart = await ask({
        ask: (client, control) =>
          client.coins.marketChart.getRange(
            asset.id,
            // Whole seconds. The last moment is part of the answer.
            {
              vs_currency: 'usd',
              from: String(range.from / 1000),
              to: String(Math.floor(Math.min(range.to - 1, now) / 1000)),
              precision: 'full',
            },
            control,
          ),
        read: (body) => (v.is(chartSchema, body) ? body : undefined),
        planHint: `ask for fewer days: --days ${demoDays}; or use --source binance`,
        notFound: () => unknownCoin(asset, address(query)),
      });
      yield* pricesOf(v.parse(chartSchema, chart), query);
    },
  };
}

function unknownCoin({ id, symbol, name }: PricedAsset, address: string) {
  return new CryptosenseDbError(
    'no-prices',
    {
      message: `CoinGecko has no asset with the id ${id}: ${symbol} (${name})`,
      evidence: ['HTTP 404', `asked for: ${address}`],
      hint: `correct its id, or let it be left out: update assets set is_active = false where coingecko_id = '${id.replaceAll("'", "''")}'`,
    },
    { details: { source: 'coingecko', symbols: [symbol] } },
  );
}

/** The first price of each hour or day. CoinGecko's times are seconds or minutes after the hour. */
function pricesOf(
  { prices, market_caps, total_volumes }: v.InferOutput<typeof chartSchema>,
  { asset, interval, range }: PriceQuery,
): readonly Price[] {
  const caps = new Map(market_caps);
  const volumes = new Map(total_volumes);
  const found = new Map<number, Price>();
  for (const [moment, price] of [...prices].sort(([a], [b]) => a - b)) {
    if (!Number.isFinite(moment)) {
      throw faultyAnswer("CoinGecko's answer", [{ message: `a price of ${asset.id} has no time` }]);
    }
    const time = startOf(moment, interval);
    if (price === null || time < range.from || time >= range.to || found.has(time)) continue;
    found.set(time, {
      symbol: asset.symbol,
      time,
      priceUsd: decimal(price),
      marketCapUsd: optional(caps.get(moment)),
      volume24hUsd: optional(volumes.get(moment)),
    });
  }
  return [...found.values()];
}

/** CoinGecko gives 0 where it knows no market capitalization or volume. */
function optional(value: number | null | undefined): string | null {
  return value === null || value === undefined || value === 0 ? null : decimal(value);
}

/** Without an exponent, which `String` writes for very large and very small numbers. */
function decimal(value: number): string {
  return Math.abs(value) >= 1e-6 && Math.abs(value) < 1e21 ? String(value) : value.toFixed(20);
}
