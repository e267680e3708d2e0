import type { Kysely } from 'kysely';
import { onTestFinished } from 'vitest';
import type { DB } from '../../src/database/types.ts';
import { createDatabase } from '../../src/typed-database.ts';
import { scratchDatabase } from './recovery.ts';

export interface PriceDatabase {
  readonly db: Kysely<DB>;
  readonly url: string;
  /** How often `latest_prices` was called. */
  readonly countQueries: () => Promise<number>;
  /** How long each call takes, in seconds. */
  readonly slowDown: (seconds: number) => Promise<void>;
}

/**
 * A plain PostgreSQL with a `latest_prices` of the packaged function's form, which counts its calls. It knows BTC and
 * ETH.
 */
export async function priceDatabase(): Promise<PriceDatabase> {
  const { sql, url } = await scratchDatabase();
  await sql.unsafe(`
    create table known (asset_symbol varchar(20) primary key, price_usd numeric(20, 8) not null);
    insert into known values ('BTC', 43012.5), ('ETH', 2280.25);
    create table pace (seconds float8 not null);
    insert into pace values (0);
    create sequence calls minvalue 0 start 0;
    select nextval('calls');
    create function latest_prices(symbols text[]) returns table (
      asset_symbol varchar(20), "time" timestamptz, price_usd numeric(20, 8),
      market_cap_usd numeric(20, 2), volume_24h_usd numeric(20, 2), data_source varchar(50)
    ) language plpgsql volatile as $$
    #variable_conflict use_column
    begin
      perform nextval('calls'), pg_sleep(seconds) from pace;
      return query
        select k.asset_symbol, now() - interval '50 seconds', k.price_usd, null::numeric, 12.5::numeric, 'test'::varchar
        from known k where k.asset_symbol = any (symbols);
    end $$`);
  const db = createDatabase({ target: url, maxConnections: 4 });
  onTestFinished(() => db.destroy());
  return {
    db,
    url,
    countQueries: async () => {
      const [row] = await sql<{ calls: string }[]>`select last_value as calls from calls`;
      return Number(row?.calls);
    },
    slowDown: async (seconds) => void (await sql`update pace set seconds = ${seconds}`),
  };
}
