import { describeTarget } from '../database/target.ts';
import { type RunOptions, withRun } from '../ledger/run.ts';
import { CryptosenseDbError } from '../runtime/errors.ts';
import { requireWhole } from '../runtime/whole-numbers.ts';
import { symbolsOf } from './assets.ts';
import { prepareForPrices, requirePriceTables } from './session.ts';

export interface ShowOptions extends RunOptions {
  /** A symbol, such as `BTC`, or an id of CoinGecko. */
  readonly symbol: string;
  /** How many days back, today included. Default 30. */
  readonly days?: number | undefined;
}

/** A row of `price_history_daily`. Figures are decimal numbers as text. */
export interface DailyCandle {
  readonly day: Date;
  readonly open: string;
  readonly high: string;
  readonly low: string;
  readonly close: string;
}

export interface ShownCandles {
  readonly target: string;
  readonly symbol: string;
  /** In order of time. A day without prices has no candle. */
  readonly candles: readonly DailyCandle[];
}

/** The daily candles of an asset. Throws `unknown-asset` when it has none at all. Changes nothing. */
export async function show(options: ShowOptions): Promise<ShownCandles> {
  const { days = 30 } = options;
  requireWhole({ days }, { from: 1, to: 50_000 });
  return withRun(options, { access: 'read' }, async ({ session }) => {
    const { sql } = session;
    await requirePriceTables(session);
    await prepareForPrices(session);
    const [symbol = options.symbol] = await symbolsOf(sql, [options.symbol]);
    const candles = await sql<DailyCandle[]>`
      select day, open, high, low, close from price_history_daily
      where asset_symbol = ${symbol}
        and day > date_trunc('day', now(), 'UTC') - make_interval(days => ${days}) and day <= now()
      order by day`;
    if (candles.length === 0) {
      const [{ isThere }] = await sql<[{ isThere: boolean }]>`
        select exists (select from price_history_daily where asset_symbol = ${symbol}) as "isThere"`;
      if (!isThere) {
        throw new CryptosenseDbError('unknown-asset', {
          message: `${symbol} has no daily candle`,
          hint: 'list the assets with prices: cryptosense-db prices status',
        });
      }
    }
    return { target: describeTarget(session.target), symbol, candles };
  });
}
