import { type Kysely, type RawBuilder, type SelectQueryBuilder, sql } from 'kysely';
import type { DB } from '../database/types.ts';

/** The queries that CryptoSense's services send most (specification, 6.1 and 6.3). */

interface Account {
  readonly id: string;
  readonly email: string;
  readonly password_hash: string;
}

/** The account that logs in, by its address in any case. */
export function accountByEmail(
  db: Kysely<DB>,
  email: string,
): SelectQueryBuilder<DB, 'users', Account> {
  return db
    .selectFrom('users')
    .select(['id', 'email', 'password_hash'])
    .where(sql`lower(email)`, '=', sql`lower(${email})`)
    .where('deleted_at', 'is', null);
}

interface ValuedPortfolio {
  readonly id: string;
  readonly name: string;
  /** null for a portfolio without holdings. */
  readonly total_value: string | null;
  readonly holdings_count: number;
}

/** The first query of section 6.3. */
export function portfoliosWithValues(db: Kysely<DB>, userId: string) {
  return db
    .selectFrom('portfolios as p')
    .leftJoin('holdings as h', 'h.portfolio_id', 'p.id')
    .select(['p.id', 'p.name'])
    .select(({ fn }) => fn.sum('h.current_value_usd').as('total_value'))
    .select(sql<number>`count(h.id)::int`.as('holdings_count'))
    .where('p.user_id', '=', userId)
    .where('p.deleted_at', 'is', null)
    .groupBy(['p.id', 'p.name'])
    .$castTo<ValuedPortfolio>();
}

export interface AssetRange {
  readonly symbol: string;
  readonly from: Date;
  /** Belongs to the range; `from` does not. */
  readonly until: Date;
}

export interface RiskFigures {
  /** Of a year, from the daily returns: 0.6 is 60 %. null with fewer than three candles. */
  readonly volatility: number | null;
  /** The deepest fall below an earlier high: 0.25 is 25 %. */
  readonly drawdown: number | null;
  /** The mean social score, 0 to 100. null without readings. */
  readonly sentiment: number | null;
  /** What of the market capitalization changes hands in a day. null where one of the two is unknown. */
  readonly turnover: number | null;
  /** 0 to 100, the higher the riskier. */
  readonly risk_score: number;
}

/**
 * "Risk score calculation": volatility and drawdown of an asset from its daily candles, its sentiment, and its liquidity
 * by the latest price. Thirty days are 30 candles and, with a reading every six hours, 120 rows of sentiment. The
 * specification leaves the formula open. Here volatility has a weight of 40 % (200 % a year counts as 100), drawdown
 * 25 %, sentiment 20 %, and liquidity 15 % (a turnover of 5 % a day counts as fully liquid).
 */
export function riskFigures({ symbol, from, until }: AssetRange): RawBuilder<RiskFigures> {
  return sql<RiskFigures>`
    with candles as (
      select low, ln(close / lag(close) over days) as change, max(high) over days as peak
      from price_history_daily
      where asset_symbol = ${symbol} and day > ${from} and day <= ${until} and low > 0
      window days as (order by day)
    ), price as (
      select (stddev_samp(change) * sqrt(365))::float8 as volatility,
        max(1 - low / peak)::float8 as drawdown
      from candles
    ), mood as (
      select avg(social_score)::float8 as sentiment
      from social_sentiment_history
      where asset_symbol = ${symbol} and time > ${from} and time <= ${until}
    ), market as (
      select (volume_24h_usd / nullif(market_cap_usd, 0))::float8 as turnover
      from latest_prices(array[${symbol}::text])
    )
    select volatility, drawdown, sentiment, turnover,
      0.40 * least(100, 50 * coalesce(volatility, 2)) + 0.25 * 100 * coalesce(drawdown, 1)
        + 0.20 * (100 - coalesce(sentiment, 50)) + 0.15 * (100 - least(100, 2000 * coalesce(turnover, 0)))
        as risk_score
    from price cross join mood left join market on true`;
}
