import type { Session } from '../database/connection.ts';

/** One day of Bitcoin prices in USD, with all digits. */
export interface Candle {
  readonly day: Date;
  readonly open: string;
  readonly high: string;
  readonly low: string;
  readonly close: string;
}

/** The candles of the day before `now` and of the day of `now`; none without the view. */
export async function readCandles({ sql }: Session, now: Date): Promise<readonly Candle[]> {
  const [{ isThere }] = await sql<[{ isThere: boolean }]>`
    select to_regclass('public.price_history_daily') is not null as "isThere"`;
  if (!isThere) return [];
  return sql<Candle[]>`
    select day, open, high, low, close
    from public.price_history_daily
    where asset_symbol = 'BTC' and day between ${now}::timestamptz - interval '48 hours' and ${now}
    order by day desc limit 2`.then((rows) => rows.toReversed());
}
