import { sql } from 'kysely';
import type { SeedContext } from '../../src/seeding/seeder.ts';
import { dayMs, startOfDay } from './time.ts';

type Db = SeedContext['db'];

/** The owner of price_history_daily, who alone may refresh it; undefined when this role may. */
export async function foreignOwner(db: Db): Promise<string | undefined> {
  const { rows } = await sql<{ owner: string; isMine: boolean }>`
    select pg_get_userbyid(relowner) as owner, pg_has_role(relowner, 'usage') as "isMine"
    from pg_class where oid = 'price_history_daily'::regclass`.execute(db);
  const [view] = rows;
  return view?.isMine === false ? view.owner : undefined;
}

/** The UTC days of these moments, in order and without repeats, as ISO strings. */
export function daysOf(moments: Iterable<Date>): readonly string[] {
  const days = new Set<number>();
  for (const moment of moments) days.add(startOfDay(moment).getTime());
  return [...days].sort((a, b) => a - b).map((day) => new Date(day).toISOString());
}

/** Every UTC day from `from` to `to`. */
export function daysBetween(from: Date, to: Date): readonly string[] {
  const days: Date[] = [];
  for (let day = startOfDay(from); day <= to; day = new Date(day.getTime() + dayMs)) days.push(day);
  return daysOf(days);
}

/**
 * Refreshes these days of price_history_daily and no others, because a refresh deletes the candles of a
 * day whose prices were dropped. Today is refreshed only when it is materialized and out of date: once
 * materialized, it does not show prices that come later.
 */
export async function refreshDays(
  db: Db,
  { days, now }: { readonly days: Iterable<string>; readonly now: Date },
): Promise<void> {
  const clock = await sql<{ now: Date }>`select now()`.execute(db);
  const today = startOfDay(clock.rows[0]?.now ?? now);
  const end = new Date(Math.min(startOfDay(now).getTime(), today.getTime()));
  for (const day of daysOf([...days].map((text) => new Date(text)))) {
    const from = new Date(day);
    if (from < end || (await isStale(db, from))) await refresh(db, from);
  }
}

/** Earlier days with prices and without candles, which a refresh of later days hides from the view. */
export async function hiddenDays(db: Db, before: Date): Promise<readonly string[]> {
  const { rows } = await sql<{ day: Date }>`
    select distinct day from (
      select time_bucket('1 day', time) as day, asset_symbol
      from price_history where time < ${startOfDay(before)} group by 1, 2
    ) as priced
    where not exists (
      select from price_history_daily as shown
      where shown.day = priced.day and shown.asset_symbol = priced.asset_symbol
    )`.execute(db);
  return daysOf(rows.map(({ day }) => day));
}

/** The days whose candles all have prices. A refresh of another day would delete candles. */
export async function wholeDays(db: Db, days: readonly string[]): Promise<readonly string[]> {
  const { rows } = await sql<{ day: Date }>`
    select day from unnest(array(
      select jsonb_array_elements_text(${JSON.stringify(days)}::text::jsonb)::timestamptz
    )) as given (day)
    where not exists (
      select from price_history_daily as shown
      where shown.day = given.day and not exists (
        select from price_history as p
        where p.asset_symbol = shown.asset_symbol
          and p.time >= given.day and p.time < given.day + interval '24 hours'
      )
    )`.execute(db);
  return daysOf(rows.map(({ day }) => day));
}

async function isStale(db: Db, day: Date): Promise<boolean> {
  const { rows } = await sql`
    select from (
      select asset_symbol, first(price_usd, time) as open, max(price_usd) as high,
        min(price_usd) as low, last(price_usd, time) as close, avg(price_usd) as avg_price,
        sum(volume_24h_usd) as total_volume
      from price_history
      where time >= ${day} and time < ${day}::timestamptz + interval '24 hours' group by 1
    ) as real
    full join (select * from price_history_daily where day = ${day}) as shown using (asset_symbol)
    where (real.open, real.high, real.low, real.close, real.avg_price, real.total_volume)
      is distinct from
      (shown.open, shown.high, shown.low, shown.close, shown.avg_price, shown.total_volume)
    limit 1`.execute(db);
  return rows.length > 0;
}

/** TimescaleDB refuses this inside a transaction. */
async function refresh(db: Db, day: Date): Promise<void> {
  await sql`
    call refresh_continuous_aggregate(
      'price_history_daily', ${day}::timestamptz, ${day}::timestamptz + interval '24 hours'
    )`.execute(db);
}
