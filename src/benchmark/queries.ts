import { type CompiledQuery, type Kysely, sql as kyselySql } from 'kysely';
import type { Sql } from '../database/connection.ts';
import type { DB } from '../database/types.ts';
import { dayMs, isoDay } from '../runtime/days.ts';
import {
  type AssetRange,
  accountByEmail,
  portfoliosWithValues,
  riskFigures,
} from './service-queries.ts';
import type { QueryName } from './targets.ts';

/** A query with its parameters, as a service would build it. */
export type BuildQuery = (db: Kysely<DB>) => CompiledQuery;

export interface BenchmarkQuery {
  readonly name: QueryName;
  /** Tables, views and functions of schema public. */
  readonly needs: readonly string[];
  /**
   * Draws parameters from rows of the database, at most `most` sets, the same ones for the same rows. A text says why
   * there are none.
   */
  readonly draw: (sql: Sql, most: number) => Promise<readonly BuildQuery[] | string>;
}

const noPrices = 'the table price_history has no price';

export const benchmarkQueries: readonly BenchmarkQuery[] = [
  define({
    name: 'user-by-email',
    needs: ['users'],
    draw: async (sql, most) =>
      sample(
        sql,
        'users',
        (from) => sql<{ email: string }[]>`
        select email from ${from} where deleted_at is null order by md5(id::text) limit ${most}`,
      ),
    lack: 'the table users has no account that is not deleted',
    build:
      ({ email }) =>
      (db) =>
        accountByEmail(db, email).compile(),
  }),
  define({
    name: 'portfolio-list',
    needs: ['portfolios'],
    draw: drawOwners,
    lack: 'the table portfolios has no portfolio that is not deleted',
    build:
      ({ userId }) =>
      (db) =>
        db
          .selectFrom('portfolios')
          .select(['id', 'name', 'description', 'color', 'is_primary'])
          .where('user_id', '=', userId)
          .where('deleted_at', 'is', null)
          .orderBy('created_at')
          .compile(),
  }),
  define({
    name: 'portfolio-values',
    needs: ['portfolios', 'holdings'],
    draw: drawOwners,
    lack: 'the table portfolios has no portfolio that is not deleted',
    build:
      ({ userId }) =>
      (db) =>
        portfoliosWithValues(db, userId).compile(),
  }),
  define({
    name: 'holdings',
    needs: ['holdings'],
    draw: async (sql, most) =>
      sample(
        sql,
        'holdings',
        (from) => sql<{ portfolioId: string }[]>`
        select portfolio_id as "portfolioId" from ${from}
        group by portfolio_id order by md5(portfolio_id::text) limit ${most}`,
      ),
    lack: 'the table holdings is empty',
    build:
      ({ portfolioId }) =>
      (db) =>
        db
          .selectFrom('holdings')
          .select(['id', 'asset_symbol', 'asset_name', 'quantity', 'average_buy_price'])
          .select(['current_price', 'current_value_usd', 'price_change_24h', 'last_updated_at'])
          .where('portfolio_id', '=', portfolioId)
          .orderBy('current_value_usd', (order) => order.desc().nullsLast())
          .compile(),
  }),
  define({
    name: 'latest-prices',
    needs: ['price_history', 'latest_prices(text[])'],
    draw: async (sql, most) => {
      const { newest, ageDays, symbols } = await readPrices(sql);
      if (newest === null || ageDays < rangeDays) return groupsOfTen(symbols, most);
      return `the newest price is of ${isoDay(newest)}, and latest_prices looks back ${rangeDays} days`;
    },
    lack: noPrices,
    build: (symbols) => (db) =>
      kyselySql`select * from latest_prices(${symbols}::text[])`.compile(db),
  }),
  define({
    name: 'daily-closes',
    needs: ['price_history', 'price_history_daily'],
    draw: async (sql, most) => {
      const { newest, isOfToday, symbols } = await readPrices(sql);
      if (newest === null || isOfToday) return groupsOfTen(symbols, most);
      return `the newest price is of ${isoDay(newest)}, and the query asks for today in UTC`;
    },
    lack: noPrices,
    // Section 6.3 writes CURRENT_DATE, which is the day of UTC in a session in UTC only.
    build: (symbols) => (db) =>
      db
        .selectFrom('price_history_daily')
        .select(['asset_symbol', 'close as price'])
        .where('day', '=', kyselySql<Date>`date_trunc('day', now(), 'UTC')`)
        .where('asset_symbol', '=', kyselySql<string>`any(${symbols}::text[])`)
        .compile(),
  }),
  define({
    name: 'price-history',
    needs: ['price_history'],
    draw: drawMonths,
    lack: noPrices,
    build:
      ({ symbol, from, until }) =>
      (db) =>
        db
          .selectFrom('price_history')
          .select(['time', 'price_usd', 'volume_24h_usd'])
          .where('asset_symbol', '=', symbol)
          .where('time', '>', from)
          .where('time', '<=', until)
          .orderBy('time')
          .compile(),
  }),
  define({
    name: 'prediction',
    needs: ['predictions'],
    draw: async (sql, most) =>
      sample(
        sql,
        'predictions',
        (from) => sql<PredictionKey[]>`
        select asset_symbol as symbol, prediction_type as type, timeframe from ${from}
        group by asset_symbol, prediction_type, timeframe
        order by md5(concat(asset_symbol, prediction_type, timeframe)) limit ${most}`,
      ),
    lack: 'the table predictions is empty',
    build:
      ({ symbol, type, timeframe }) =>
      (db) =>
        db
          .selectFrom('predictions')
          .select(['prediction_date', 'target_date', 'predicted_value', 'confidence_score'])
          .select(['direction', 'factors', 'model_version'])
          .where('asset_symbol', '=', symbol)
          .where('prediction_type', '=', type)
          .where('timeframe', '=', timeframe)
          .orderBy('prediction_date', 'desc')
          .limit(1)
          .compile(),
  }),
  define({
    name: 'risk-score',
    needs: [
      'price_history',
      'price_history_daily',
      'social_sentiment_history',
      'latest_prices(text[])',
    ],
    draw: drawMonths,
    lack: noPrices,
    build: (month) => (db) => riskFigures(month).compile(db),
  }),
];

interface PredictionKey {
  readonly symbol: string;
  readonly type: 'price' | 'trend' | 'volatility';
  readonly timeframe: '7d' | '14d' | '30d';
}

/** Forgets the type of the parameters. */
function define<Parameters>({
  name,
  needs,
  draw,
  lack,
  build,
}: {
  readonly name: QueryName;
  readonly needs: readonly string[];
  readonly draw: (sql: Sql, most: number) => Promise<readonly Parameters[] | string>;
  /** Why there are no parameters, when `draw` finds none. */
  readonly lack: string;
  readonly build: (parameters: Parameters) => BuildQuery;
}): BenchmarkQuery {
  return {
    name,
    needs,
    draw: async (sql, most) => {
      const drawn = await draw(sql, most);
      if (typeof drawn === 'string') return drawn;
      return drawn.length === 0 ? lack : drawn.map(build);
    },
  };
}

const sampledPages = 300;

/** Reads rows of some random pages, so that a large table costs no more than a small one; the same pages each time. */
async function sample<Row>(
  sql: Sql,
  table: string,
  select: (from: ReturnType<Sql>) => Promise<readonly Row[]>,
): Promise<readonly Row[]> {
  const name = sql(`public.${table}`);
  const [{ pages }] = await sql<[{ pages: number }]>`
    select (pg_relation_size(${`public.${table}`}::regclass)
      / current_setting('block_size')::int)::int as pages`;
  const percent = Math.min(100, (100 * sampledPages) / Math.max(1, pages));
  const rows = await select(sql`${name} tablesample system (${percent}::real) repeatable (1)`);
  // The pages of the sample can be empty where the table is not.
  return rows.length > 0 || percent === 100 ? rows : select(sql`${name}`);
}

function drawOwners(sql: Sql, most: number): Promise<readonly { readonly userId: string }[]> {
  return sample(
    sql,
    'portfolios',
    (from) => sql<{ userId: string }[]>`
    select user_id as "userId" from ${from} where deleted_at is null
    group by user_id order by md5(user_id::text) limit ${most}`,
  );
}

const rangeDays = 30;

interface Prices {
  /** The newest price that is not of the future: the millisecond after it, as a Date has no smaller unit. */
  readonly newest: Date | null;
  readonly ageDays: number;
  readonly isOfToday: boolean;
  /** Of the assets with a price in the two days before the newest one. */
  readonly symbols: readonly string[];
}

async function readPrices(sql: Sql): Promise<Prices> {
  const [found] = await sql<[Omit<Prices, 'symbols'>]>`
    select newest, coalesce(extract(epoch from now() - newest) / 86400, 0)::float8 as "ageDays",
      coalesce(newest >= date_trunc('day', now(), 'UTC'), false) as "isOfToday"
    from (
      select date_trunc('milliseconds', max("time")) + interval '1 millisecond' as newest
      from public.price_history where "time" <= now()
    ) as prices`;
  if (found.newest === null) return { ...found, symbols: [] };
  const rows = await sql<{ symbol: string }[]>`
    select distinct asset_symbol as symbol from public.price_history
    where "time" > ${found.newest}::timestamptz - interval '48 hours' and "time" <= ${found.newest}
    order by 1`;
  return { ...found, symbols: rows.map(({ symbol }) => symbol) };
}

/** Ten assets each, or all where there are fewer. Each asset begins one group. */
function groupsOfTen(symbols: readonly string[], most: number): readonly (readonly string[])[] {
  return symbols
    .slice(0, most)
    .map((_, first) => [...symbols.slice(first), ...symbols.slice(0, first)].slice(0, 10));
}

/** The thirty days before the newest price, so that a copy of an older database has rows too. */
async function drawMonths(sql: Sql, most: number): Promise<readonly AssetRange[]> {
  const { newest, symbols } = await readPrices(sql);
  if (newest === null) return [];
  const from = new Date(newest.getTime() - rangeDays * dayMs);
  return symbols.slice(0, most).map((symbol) => ({ symbol, from, until: newest }));
}
