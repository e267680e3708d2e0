import { sql } from 'kysely';
import type { SeedContext } from '../../src/seeding/seeder.ts';
import { dayMs, startOfDay } from './time.ts';

type Db = SeedContext['db'];

/** The role that may refresh price_history_daily where this one may not: TimescaleDB asks for its owner. */
export async function foreignOwner(db: Db): Promise<string | undefined> {
  const { rows } = await sql<{ owner: string; isMine: boolean }>`
    select pg_get_userbyid(relowner) as owner, pg_has_role(relowner, 'usage') as "isMine"
    from pg_class where oid = 'price_history_daily'::regclass`.execute(db);
  const [view] = rows;
  return view?.isMine === false ? view.owner : undefined;
}

/**
 * Brings the days from `from` on into price_history_daily, but for today: a day that is materialised
 * does not follow the prices that come later. One that is materialised already, by a policy or by
 * somebody's refresh, is brought up to date. Days before `from` are left alone: where their prices
 * have been dropped, their candles are all there is.
 */
export async function refreshDaily(
  db: Db,
  { from, now }: { readonly from: Date; readonly now: Date },
): Promise<void> {
  const clock = await sql<{ now: Date }>`select now()`.execute(db);
  const today = startOfDay(clock.rows[0]?.now ?? now);
  const end = new Date(Math.min(startOfDay(now).getTime(), today.getTime()));
  await refresh(db, { from: startOfDay(from), to: end });

  const stale = await sql<{ day: Date }>`
    select coalesce(shown.day, real.day) as day
    from (
      select time_bucket('1 day', time) as day, asset_symbol, last(price_usd, time) as close,
        max(price_usd) as high, min(price_usd) as low
      from price_history where time >= ${end} group by 1, 2
    ) as real
    full join (
      select day, asset_symbol, close, high, low from price_history_daily where day >= ${end}
    ) as shown using (day, asset_symbol)
    where (real.close, real.high, real.low) is distinct from (shown.close, shown.high, shown.low)
    order by 1 desc limit 1`.execute(db);
  const last = stale.rows[0]?.day;
  if (last) await refresh(db, { from: end, to: new Date(last.getTime() + dayMs) });
}

/** Not inside a transaction: TimescaleDB refuses it there. */
async function refresh(
  db: Db,
  { from, to }: { readonly from: Date; readonly to: Date },
): Promise<void> {
  if (from >= to) return;
  await sql`
    call refresh_continuous_aggregate(
      'price_history_daily', ${from}::timestamptz, ${to}::timestamptz
    )`.execute(db);
}
