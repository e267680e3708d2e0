import type { Sql, TransactionSql } from 'postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Catalog, readCatalog } from '../support/catalog.ts';
import { openSchemaDatabase } from '../support/schema-database.ts';
import { remarks, specification } from './specification.ts';
import { type Definitions, type Specified, specifiedForm, type Table } from './specified.ts';

let database: Awaited<ReturnType<typeof openSchemaDatabase>>;
let sql: Sql;
let catalogRead: Catalog;
let catalog: Specified;

beforeAll(async () => {
  database = await openSchemaDatabase();
  sql = database.sql;
  catalogRead = await readCatalog(sql);
  catalog = specifiedForm(catalogRead);
});

afterAll(async () => {
  await database?.close();
});

describe('the catalog', () => {
  const aspects: readonly (readonly [string, keyof Table])[] = [
    ['columns, with their types, nullability, defaults and expressions', 'columns'],
    ['primary key', 'primaryKey'],
    ['UNIQUE constraints', 'unique'],
    ['CHECK constraints', 'checks'],
    ['foreign keys', 'foreignKeys'],
    ['indexes', 'indexes'],
    ['triggers', 'triggers'],
  ];

  describe.each(Object.entries(specification.tables))('of %s', (name, expected) => {
    it.each(aspects)('has the specified %s and no other', (_, aspect) => {
      const table = catalog.tables[name];
      const actual = table && { ...table, indexes: withOneName(table.indexes) };
      expect(actual?.[aspect]).toEqual(expected[aspect]);
    });
  });

  it.each(Object.entries(specification.views))('has the specified view %s', (name, expected) => {
    expect(catalog.views[name]).toEqual(expected);
  });

  it.each(Object.entries(specification.hypertables))(
    'has %s as a hypertable, compressed as specified',
    (name, expected) => {
      expect(catalog.hypertables[name]).toEqual(expected);
    },
  );

  it('has the specified policies and no other', () => {
    expect(catalog.policies).toMatchObject(specification.policies);
  });

  it('has one other job, which deletes predictions older than two years once a day', () => {
    expect(catalog.userJobs).toMatchObject([
      { on: null, every: '1 day', config: { drop_after: '2 years' } },
    ]);
  });

  it('has the extensions of the specification and no other', () => {
    expect(catalog.extensions).toEqual(specification.extensions);
  });

  it('has no other table, view, sequence, function or type in public', () => {
    const tables = [...Object.keys(specification.tables), 'assets'].map((name) => [name, 'table']);
    const views = Object.keys(specification.views).map((name) => [name, 'view']);
    expect(catalog.relations).toEqual(Object.fromEntries([...tables, ...views]));
    expect(catalog.types).toEqual(specification.types);

    const procedures = catalog.userJobs.map(({ procedure }) => procedure);
    const others = catalog.functions.filter((name) => !procedures.includes(name));
    expect(others).toEqual(specification.functions);
  });

  it('has no other hypertable', () => {
    expect(Object.keys(catalog.hypertables).sort()).toEqual(
      Object.keys(specification.hypertables).sort(),
    );
  });

  it('has no index whose columns lead another index of the same rows, unless it is unique', async () => {
    expect(
      await sql`
        with key as (
          select i.indrelid, i.indexrelid, i.indisunique, i.indnatts, am.amname,
            coalesce(pg_get_expr(i.indpred, i.indrelid), '') as rows,
            array(
              select regexp_replace(pg_get_indexdef(i.indexrelid, n, false), ' DESC$', '')
              from generate_series(1, i.indnatts) n
            ) as columns
          from pg_index i
          join pg_class c on c.oid = i.indexrelid
          join pg_am am on am.oid = c.relam
          where c.relnamespace = 'public'::regnamespace
        )
        select a.indexrelid::regclass::text as name, b.indexrelid::regclass::text as covered
        from key a join key b on b.indrelid = a.indrelid and b.indexrelid <> a.indexrelid
        where not a.indisunique and a.amname = b.amname and a.rows = b.rows
          and b.columns[1:a.indnatts] = a.columns
        order by 1`,
    ).toEqual([]);
  });

  it('has a whole index, or one of all rows with a reference, for each foreign key', async () => {
    expect(
      await sql`
        select k.conname as name from pg_constraint k
        where k.contype = 'f' and k.connamespace = 'public'::regnamespace and not exists (
          select from pg_index i
          where i.indrelid = k.conrelid and i.indkey[0] = k.conkey[1] and (
            i.indpred is null
            or pg_get_expr(i.indpred, i.indrelid) = format('(%s IS NOT NULL)', (
              select attname from pg_attribute where attrelid = k.conrelid and attnum = k.conkey[1]
            ))
          )
        )`,
    ).toEqual([]);
  });

  it('has a comment on every table and view', () => {
    expect(catalog.comments).toMatchObject(
      Object.fromEntries(
        Object.keys(catalog.relations).map((name) => [name, expect.stringMatching(/\S/)]),
      ),
    );
  });

  it.each(Object.entries(remarks))('has a comment on %s that contains "%s"', (name, word) => {
    expect((catalog.comments[name] ?? '').toLowerCase()).toContain(word.toLowerCase());
  });
});

describe('a CHECK', () => {
  it.each([
    ['users', 'email', 'ada.example.com', 'email_format'],
    ['users', 'email', 'ada@example', 'email_format'],
    ['users', 'tier', 'gold', 'users_tier_check'],
    ['subscriptions', 'tier', 'gold', 'subscriptions_tier_check'],
    ['subscriptions', 'status', 'cancelled', 'subscriptions_status_check'],
    ['subscriptions', 'billing_interval', 'weekly', 'subscriptions_billing_interval_check'],
    [
      'exchange_connections',
      'last_sync_status',
      'ok',
      'exchange_connections_last_sync_status_check',
    ],
    ['holdings', 'quantity', '-0.00000001', 'holdings_quantity_check'],
    ['transactions', 'transaction_type', 'gift', 'transactions_transaction_type_check'],
    ['predictions', 'prediction_type', 'volume', 'predictions_prediction_type_check'],
    ['predictions', 'timeframe', '1d', 'predictions_timeframe_check'],
    ['predictions', 'confidence_score', '100.01', 'predictions_confidence_score_check'],
    ['predictions', 'confidence_score', '-1', 'predictions_confidence_score_check'],
    ['predictions', 'direction', 'sideways', 'predictions_direction_check'],
    ['risk_scores', 'risk_score', '101', 'risk_scores_risk_score_check'],
    ['risk_scores', 'risk_score', '-1', 'risk_scores_risk_score_check'],
    ['risk_scores', 'risk_level', 'mild', 'risk_scores_risk_level_check'],
    ['alerts', 'alert_type', 'volume', 'alerts_alert_type_check'],
    ['alert_history', 'notification_status', 'lost', 'alert_history_notification_status_check'],
  ])('on %s.%s refuses %s', (table, column, value, constraint) =>
    undone(async (tx) => {
      await plant(tx);
      await expectRefusal(
        tx,
        { code: checkViolation, constraint_name: constraint },
        (attempt) => attempt`update ${attempt(table)} set ${attempt(column)} = ${value}`,
      );
    }),
  );

  it.each([
    ['users', 'email', 'Ada.Lovelace+crypto@Mail.Example.CO.UK'],
    ['holdings', 'quantity', '0'],
    ['predictions', 'confidence_score', '0'],
    ['predictions', 'confidence_score', '100'],
    ['risk_scores', 'risk_score', '0'],
    ['risk_scores', 'risk_score', '100'],
  ])('on %s.%s accepts %s', (table, column, value) =>
    undone(async (tx) => {
      await plant(tx);
      const { count } = await tx`update ${tx(table)} set ${tx(column)} = ${value}`;
      expect(count).toBe(1);
    }),
  );

  it.each(listedValues())('on %s.%s accepts each of %s', (table, column, values) =>
    undone(async (tx) => {
      await plant(tx);
      for (const value of values) {
        const { count } = await tx`update ${tx(table)} set ${tx(column)} = ${value}`;
        expect(count).toBe(1);
      }
    }),
  );
});

describe('a uniqueness rule', () => {
  it('refuses a second user with the same address in any case, until the first is soft-deleted', () =>
    undone(async (tx) => {
      await plant(tx);
      const insert = (handle: TransactionSql) =>
        handle`insert into users (email, password_hash) values ('Ada@Example.com', 'hash')`;
      await expectRefusal(tx, duplicate('unique_user_email'), insert);
      await tx`update users set deleted_at = now()`;
      await insert(tx);
      await expectRefusal(tx, duplicate('unique_user_email'), insert);
    }));

  it('refuses a second active subscription of one user, and accepts canceled ones', () =>
    undone(async (tx) => {
      await plant(tx);
      await tx`insert into subscriptions (user_id, tier, status)
        values (${ada}, 'plus', 'canceled'), (${ada}, 'free', 'canceled')`;
      await expectRefusal(
        tx,
        duplicate('one_active_subscription_per_user'),
        (attempt) => attempt`insert into subscriptions (user_id, tier) values (${ada}, 'pro')`,
      );
      await tx`update subscriptions set status = 'canceled'`;
      await tx`insert into subscriptions (user_id, tier) values (${ada}, 'pro')`;
    }));

  it("refuses a second portfolio of the same name until the user's first is soft-deleted", () =>
    undone(async (tx) => {
      await plant(tx);
      const insert = (handle: TransactionSql) =>
        handle`insert into portfolios (user_id, name) values (${ada}, 'Main Portfolio')`;
      await expectRefusal(tx, duplicate('unique_portfolio_name_per_user'), insert);
      await tx`update portfolios set deleted_at = now()`;
      await insert(tx);
    }));

  it('refuses a second connection with one exchange key until the first one is soft-deleted', () =>
    undone(async (tx) => {
      await plant(tx);
      const insert = (handle: TransactionSql) => handle`
        insert into exchange_connections
          (user_id, exchange_name, api_key_last_four, api_key_encrypted, api_secret_encrypted)
        values (${ada}, 'binance', '4f1c', 'key', 'secret')`;
      await expectRefusal(tx, duplicate('unique_exchange_per_user'), insert);
      await tx`update exchange_connections set deleted_at = now()`;
      await insert(tx);
    }));

  it.each([
    ['neither a source nor a wallet', null, null],
    ['a source alone', 'binance', null],
    ['a wallet alone', null, 'bc1q'],
    ['both', 'binance', 'bc1q'],
  ])('refuses a second equal holding with %s', (_, source, wallet) =>
    undone(async (tx) => {
      await plant(tx);
      const insert = (handle: TransactionSql) => handle`
        insert into holdings (portfolio_id, asset_symbol, quantity, exchange_source, wallet_address)
        values (${portfolio}, 'DOGE', 1, ${source}, ${wallet})`;
      await insert(tx);
      await expectRefusal(tx, duplicate('unique_holding_per_portfolio'), insert);
    }),
  );

  it('accepts two holdings of one asset from two sources in one portfolio', () =>
    undone(async (tx) => {
      await plant(tx);
      const { count } =
        await tx`insert into holdings (portfolio_id, asset_symbol, quantity, exchange_source)
          values (${portfolio}, 'DOGE', 1, 'binance'), (${portfolio}, 'DOGE', 1, 'kraken')`;
      expect(count).toBe(2);
    }));

  it('refuses a second risk score of an asset on one UTC day, in every time zone of the session', () =>
    undone(async (tx) => {
      const insert = (handle: TransactionSql, symbol: string, time: string) => handle`
        insert into risk_scores (asset_symbol, risk_score, calculated_at)
        values (${symbol}, 50, ${time}::text::timestamptz)`;
      await tx`set local time zone 'Asia/Tokyo'`;
      await insert(tx, 'DOGE', '2025-10-07 00:00:00Z');
      await expectRefusal(tx, duplicate('unique_risk_score_per_day'), (attempt) =>
        insert(attempt, 'DOGE', '2025-10-07 23:59:59Z'),
      );
      await insert(tx, 'DOGE', '2025-10-08 00:00:00Z');
      await insert(tx, 'SHIB', '2025-10-07 23:59:59Z');
    }));

  it('refuses a second prediction of one kind for one moment', () =>
    undone(async (tx) => {
      await plant(tx);
      await expectRefusal(
        tx,
        duplicate('unique_prediction'),
        (attempt) =>
          attempt`insert into predictions
            (asset_symbol, prediction_type, timeframe, model_version, prediction_date, target_date)
          select asset_symbol, prediction_type, timeframe, 'other', prediction_date, target_date
          from predictions`,
      );
    }));

  it('refuses a second price of an asset at one moment', () =>
    undone(async (tx) => {
      const insert = (handle: TransactionSql) => handle`
        insert into price_history (time, asset_symbol, price_usd) values (now(), 'BTC', 43000)`;
      await insert(tx);
      await expectRefusal(tx, { code: uniqueViolation }, insert);
    }));
});

describe('a foreign key', () => {
  const owned = [
    'subscriptions',
    'portfolios',
    'exchange_connections',
    'holdings',
    'transactions',
    'alerts',
    'alert_history',
  ];

  it("deletes a user's rows together with the user", () =>
    undone(async (tx) => {
      await plant(tx);
      expect(await countRows(tx, owned)).toEqual(owned.map(() => 1));
      await tx`delete from users where id = ${ada}`;
      expect(await countRows(tx, owned)).toEqual(owned.map(() => 0));
    }));

  it('deletes holdings and transactions with their portfolio, and unlinks its connections', () =>
    undone(async (tx) => {
      await plant(tx);
      await tx`delete from portfolios where id = ${portfolio}`;
      expect(await countRows(tx, ['holdings', 'transactions'])).toEqual([0, 0]);
      expect(await tx`select portfolio_id from exchange_connections`).toEqual([
        { portfolio_id: null },
      ]);
    }));

  it('keeps holdings and transactions when their exchange connection is deleted', () =>
    undone(async (tx) => {
      await plant(tx);
      await tx`delete from exchange_connections where id = ${connection}`;
      const unlinked = [{ exchange_connection_id: null }];
      expect(await tx`select exchange_connection_id from holdings`).toEqual(unlinked);
      expect(await tx`select exchange_connection_id from transactions`).toEqual(unlinked);
    }));

  it('refuses a portfolio whose user does not exist', () =>
    undone(async (tx) => {
      const refusal = { code: foreignKeyViolation, constraint_name: 'fk_portfolios_users' };
      await expectRefusal(
        tx,
        refusal,
        (attempt) => attempt`insert into portfolios (user_id, name) values (${ada}, 'Nobody’s')`,
      );
    }));
});

describe('a computed value', () => {
  it.each(['users', 'subscriptions', 'portfolios', 'exchange_connections', 'alerts', 'assets'])(
    'sets updated_at of %s to the current time on every update',
    (table) =>
      undone(async (tx) => {
        await plant(tx);
        await tx`update ${tx(table)} set updated_at = '2020-01-01'`;
        expect(await tx`select updated_at = now() as moved from ${tx(table)}`).toEqual([
          { moved: true },
        ]);
      }),
  );

  it('keeps the value of a holding at quantity times price, in cents', () =>
    undone(async (tx) => {
      await plant(tx);
      const value = () => tx`select current_value_usd as usd from holdings`;
      expect(await value()).toEqual([{ usd: '64500.00' }]);
      await tx`update holdings set quantity = 0.33333333, current_price = 10`;
      expect(await value()).toEqual([{ usd: '3.33' }]);
      await tx`update holdings set current_price = null`;
      expect(await value()).toEqual([{ usd: null }]);
    }));

  it('refuses to write the value of a holding', () =>
    undone(async (tx) => {
      await plant(tx);
      await expectRefusal(
        tx,
        { code: generatedAlways },
        (attempt) => attempt`update holdings set current_value_usd = 1`,
      );
    }));

  it('fills the columns that an insert leaves out', () =>
    undone(async (tx) => {
      await plant(tx);
      expect(
        await tx`select tier, email_verified, timezone, language, created_at = now() as now
          from users`,
      ).toEqual([
        { tier: 'free', email_verified: false, timezone: 'UTC', language: 'en', now: true },
      ]);
      expect(await tx`select notification_channels, cooldown_hours from alerts`).toEqual([
        { notification_channels: ['email'], cooldown_hours: 24 },
      ]);
    }));

  it('shows the newest risk score of each asset in latest_risk_scores', () =>
    undone(async (tx) => {
      await tx`insert into risk_scores (asset_symbol, risk_score, calculated_at) values
        ('BTC', 35, '2025-10-06 12:00Z'), ('BTC', 36, '2025-10-07 12:00Z'),
        ('BTC', 34, '2025-10-05 12:00Z'), ('SHIB', 92, '2025-10-01 12:00Z')`;
      expect(await tx`select asset_symbol, risk_score from latest_risk_scores`).toEqual([
        { asset_symbol: 'BTC', risk_score: '36.00' },
        { asset_symbol: 'SHIB', risk_score: '92.00' },
      ]);
    }));
});

describe('the queries of section 6.3', () => {
  it("return a user's portfolios that are not deleted, with their value", () =>
    undone(async (tx) => {
      await plant(tx);
      await tx`insert into holdings (portfolio_id, asset_symbol, quantity, current_price)
        values (${portfolio}, 'ETH', 25, 2300)`;
      await tx`insert into portfolios (user_id, name, deleted_at) values (${ada}, 'Old', now())`;
      expect(
        await tx`
          select
            p.id,
            p.name,
            sum(h.current_value_usd) as total_value,
            count(h.id) as holdings_count
          from portfolios p
          left join holdings h on h.portfolio_id = p.id
          where p.user_id = ${ada} and p.deleted_at is null
          group by p.id, p.name`,
      ).toEqual([
        { id: portfolio, name: 'Main Portfolio', total_value: '122000.00', holdings_count: '2' },
      ]);
    }));

  it('return the latest price of several assets at once after its insert', () =>
    undone(async (tx) => {
      await tx`set local time zone 'UTC'`;
      await tx`insert into price_history (time, asset_symbol, price_usd) values
        (current_date, 'BTC', 42000), (current_date + interval '1 hour', 'BTC', 43000),
        (current_date, 'ETH', 2300), (current_date, 'SOL', 98),
        (current_date - interval '1 day', 'BTC', 41000)`;
      expect(
        await tx`
          select asset_symbol, close as price
          from price_history_daily
          where day = current_date
            and asset_symbol = any(${['BTC', 'ETH']})
          order by asset_symbol`,
      ).toEqual([
        { asset_symbol: 'BTC', price: '43000.00000000' },
        { asset_symbol: 'ETH', price: '2300.00000000' },
      ]);
    }));
});

describe('latest_prices', () => {
  const latest = (tx: TransactionSql, symbols: readonly (string | null)[] | null) => tx<
    { symbol: string; time: Date; price: number; cap: number | null; source: string | null }[]
  >`
    select asset_symbol as symbol, time, price_usd::float as price, market_cap_usd::float as cap,
      data_source as source
    from latest_prices(${symbols as string[]}::text[]) order by 1`;

  it('returns the latest price of each asset with its time and source, and one row for a repeated symbol', () =>
    undone(async (tx) => {
      await tx`insert into price_history (time, asset_symbol, price_usd, market_cap_usd, data_source)
        select now() - age, symbol, price, 10 * price, 'binance'
        from (values
          (interval '23 hours', 'BTC', 1), ('1 minute', 'BTC', 3), ('2 minutes', 'BTC', 2),
          ('5 hours', 'ETH', 4), ('1 minute', 'SOL', 5)
        ) as quote (age, symbol, price)`;
      const [{ now }] = await tx<[{ now: Date }]>`select now()`;
      const ago = (minutes: number) => new Date(now.getTime() - minutes * 60_000);
      expect([...(await latest(tx, ['ETH', 'BTC', null, 'BTC', 'NONE']))]).toEqual([
        { symbol: 'BTC', time: ago(1), price: 3, cap: 30, source: 'binance' },
        { symbol: 'ETH', time: ago(300), price: 4, cap: 40, source: 'binance' },
      ]);
      expect(await latest(tx, [])).toHaveLength(0);
      expect(await latest(tx, null)).toHaveLength(0);
    }));

  it('returns the latest daily close of the last 30 days for an asset without a price in 24 hours', () =>
    undone(async (tx) => {
      await tx`insert into price_history (time, asset_symbol, price_usd)
        select date_trunc('day', now(), 'UTC') - age, symbol, price
        from (values
          (interval '47 hours', 'BTC', 1), ('46 hours', 'BTC', 2), ('400 hours', 'BTC', 3),
          ('690 hours', 'ETH', 4), ('800 hours', 'SOL', 5)
        ) as quote (age, symbol, price)`;
      const [{ today }] = await tx<
        [{ today: Date }]
      >`select date_trunc('day', now(), 'UTC') as today`;
      const daysAgo = (days: number) => new Date(today.getTime() - days * 86_400_000);
      expect([...(await latest(tx, ['BTC', 'ETH', 'SOL']))]).toEqual([
        { symbol: 'BTC', time: daysAgo(2), price: 2, cap: null, source: null },
        { symbol: 'ETH', time: daysAgo(29), price: 4, cap: null, source: null },
      ]);
    }));

  it('leaves out prices of the future', () =>
    undone(async (tx) => {
      await tx`insert into price_history (time, asset_symbol, price_usd)
        select now() + distance, symbol, price
        from (values
          (interval '-1 minute', 'BTC', 1), ('1 minute', 'BTC', 9), ('3 days', 'BTC', 9),
          ('-50 hours', 'ETH', 2), ('1 minute', 'ETH', 9), ('3 days', 'ETH', 9),
          ('1 minute', 'SOL', 9), ('3 days', 'SOL', 9)
        ) as quote (distance, symbol, price)`;
      expect(await latest(tx, ['BTC', 'ETH', 'SOL'])).toMatchObject([
        { symbol: 'BTC', price: 1 },
        { symbol: 'ETH', price: 2 },
      ]);
    }));

  it.each(['UTC', 'Asia/Tokyo', 'America/New_York', 'Pacific/Kiritimati', 'Etc/GMT+12'])(
    'returns the same in a session of %s, as does the candle of the UTC day',
    (zone) =>
      undone(async (tx) => {
        await tx`select set_config('timezone', ${zone}, true)`;
        await tx`insert into price_history (time, asset_symbol, price_usd) values
          (now(), 'BTC', 43000), (now() - interval '25 hours', 'BTC', 41000)`;
        expect(await latest(tx, ['BTC'])).toMatchObject([{ price: 43000 }]);
        expect(
          await tx`
            select close::float from price_history_daily
            where day = date_trunc('day', now(), 'UTC') and asset_symbol = 'BTC'`,
        ).toEqual([{ close: 43000 }]);
      }),
  );

  it('reads the tables of schema public under any search path of the caller', () =>
    undone(async (tx) => {
      await tx`insert into price_history (time, asset_symbol, price_usd) values (now(), 'BTC', 1)`;
      await tx`create temporary table price_history on commit drop
        as select now() as time, 'BTC'::varchar as asset_symbol, 99.0 as price_usd`;
      await tx`set local search_path = pg_temp`;
      expect(await tx`select price_usd::float as price from public.latest_prices('{BTC}')`).toEqual(
        [{ price: 1 }],
      );
    }));

  it('shows a price that arrives in a later chunk to a session that has called it before', () =>
    undone(async (tx) => {
      for (const weeks of [-3, -2, -1, 0]) {
        for (let calls = 0; calls < 8; calls += 1) await latest(tx, ['BTC', 'NONE']);
        await tx`insert into price_history (time, asset_symbol, price_usd)
          values (now() + ${weeks} * interval '7 days', 'BTC', ${weeks + 5})`;
      }
      expect(await latest(tx, ['BTC', 'NONE'])).toMatchObject([{ price: 5 }]);
    }));
});

describe('holdings', () => {
  it('take a new price without new index entries', () =>
    undone(async (tx) => {
      await plant(tx);
      const countHot = async () => {
        const [row] = await tx<[{ count: number }]>`
          select pg_stat_get_xact_tuples_hot_updated('holdings'::regclass)::int as count`;
        return row.count;
      };
      const before = await countHot();
      await tx`update holdings set current_price = 44000, price_change_24h = 2.3,
        price_change_7d = 4.1, last_updated_at = now() + interval '1 minute'`;
      expect(await countHot()).toBe(before + 1);
      const { storage } = catalogRead.relations.find(({ name }) => name === 'holdings') ?? {};
      expect(storage).toEqual(['fillfactor=85']);
    }));
});

describe('price_history_daily', () => {
  it('has one candle for each UTC day of each asset', () =>
    undone(async (tx) => {
      await tx`set local time zone 'UTC'`;
      await tx`
        insert into price_history (time, asset_symbol, price_usd, volume_24h_usd)
        select current_date + clock::interval, symbol, price, volume
        from (values
          ('00:00', 'BTC', 20, 1), ('06:00', 'BTC', 40, 2), ('12:00', 'BTC', 10, null),
          ('23:59', 'BTC', 30, 3), ('24:00', 'BTC', 99, 4), ('12:00', 'ETH', 5, 5)
        ) as quote (clock, symbol, price, volume)`;
      const days = await tx`
        select open::float, high::float, low::float, close::float, avg_price::float,
          total_volume::float
        from price_history_daily
        where asset_symbol = 'BTC' and day = current_date`;
      expect(days).toEqual([
        { open: 20, high: 40, low: 10, close: 30, avg_price: 25, total_volume: 6 },
      ]);
    }));

  it('shows prices of the current day after a refresh up to its start', async () => {
    const asset = 'REFRESHED';
    const record = (price: number, offset: string) => sql`
      insert into price_history (time, asset_symbol, price_usd)
      values (date_trunc('day', now(), 'UTC') + ${offset}::interval, ${asset}, ${price})`;
    const closes = async () => {
      const rows = await sql<{ close: string }[]>`
        select close from price_history_daily where asset_symbol = ${asset} order by day`;
      return rows.map(({ close }) => Number(close));
    };
    const refresh = () => sql`
      call refresh_continuous_aggregate(
        'price_history_daily', null, date_trunc('day', now(), 'UTC'))`;

    try {
      await record(10, '-1 day');
      await record(20, '1 minute');
      await refresh();
      expect(await closes()).toEqual([10, 20]);
      await record(30, '2 minutes');
      expect(await closes()).toEqual([10, 30]);
    } finally {
      await sql`delete from price_history where asset_symbol = ${asset}`;
      await refresh();
    }
  });
});

describe('a job', () => {
  it('deletes only predictions older than two years', () =>
    undone(async (tx) => {
      for (const [version, age] of [
        ['old', '2 years 1 day'],
        ['young', '1 year 11 months'],
        ['new', '0'],
      ] as const) {
        await tx`
          insert into predictions (asset_symbol, prediction_type, timeframe, model_version,
            prediction_date, target_date, created_at)
          select 'BTC', 'price', '7d', ${version}, made, made + interval '7 days', made
          from (select now() - ${age}::interval as made) as prediction`;
      }
      await runJob(tx, catalog.userJobs[0]?.procedure ?? '');
      expect(await tx`select model_version from predictions order by prediction_date`).toEqual([
        { model_version: 'young' },
        { model_version: 'new' },
      ]);
    }));

  it('drops only prices older than five years', () =>
    undone(async (tx) => {
      await tx`insert into price_history (time, asset_symbol, price_usd)
        select now() - age, 'BTC', 1
        from unnest(array['5 years 1 month', '4 years 11 months', '0']::interval[]) as age`;
      await runJob(tx, 'policy_retention');
      expect(await countRows(tx, ['price_history'])).toEqual([2]);
    }));
});

describe('assets', () => {
  it('have the columns that an asset list needs', () => {
    const { assets } = catalog.tables;
    const names = assets?.columns.map(({ name }) => name);
    for (const part of [
      'coingecko_id',
      'symbol',
      'name',
      'rank',
      'market_cap',
      'image',
      'active',
    ]) {
      expect(names).toContainEqual(expect.stringContaining(part));
    }
  });

  it('have a unique CoinGecko id, and can have the same symbol', () =>
    undone(async (tx) => {
      const insert = (handle: TransactionSql, coingeckoId: string | null) => handle`
        insert into assets (coingecko_id, symbol, name) values (${coingeckoId}, 'TWIN', 'Twin')`;
      await insert(tx, 'twin');
      await insert(tx, 'twin-2');
      await expectRefusal(tx, { code: uniqueViolation }, (attempt) => insert(attempt, 'twin'));
      await expectRefusal(tx, { code: notNullViolation }, (attempt) => insert(attempt, null));
    }));

  it.each(['bitcoin', 'Bitcoin', 'btc', 'BTC'])('are found by the word %s', (word) =>
    undone(async (tx) => {
      await plant(tx);
      await tx`insert into assets (coingecko_id, symbol, name)
        values ('ethereum', 'ETH', 'Ethereum')`;
      const document = searchDocument();
      expect(
        await tx`select coingecko_id from assets
          where ${tx(document)} @@ plainto_tsquery('simple', ${word})`,
      ).toEqual([{ coingecko_id: 'bitcoin' }]);
    }),
  );

  it('are found by word through an index', () => {
    const { assets } = catalog.tables;
    expect(Object.values(assets?.indexes ?? {})).toContain(`USING gin (${searchDocument()})`);
  });

  /** The generated tsvector column. */
  function searchDocument(): string {
    const { assets } = catalog.tables;
    const column = assets?.columns.find(({ type }) => type === 'tsvector');
    expect(column?.generated).toBeTypeOf('string');
    return column?.name ?? '';
  }
});

const notNullViolation = '23502';
const foreignKeyViolation = '23503';
const uniqueViolation = '23505';
const checkViolation = '23514';
const generatedAlways = '428C9';
const duplicate = (constraint: string) => ({
  code: uniqueViolation,
  constraint_name: constraint,
});

const ada = 'aaaaaaaa-0000-4000-8000-000000000001';
const portfolio = 'aaaaaaaa-0000-4000-8000-000000000002';
const connection = 'aaaaaaaa-0000-4000-8000-000000000003';
const alert = 'aaaaaaaa-0000-4000-8000-000000000004';

/** One row in every table that is not a hypertable. */
async function plant(tx: TransactionSql): Promise<void> {
  await tx`insert into users (id, email, password_hash) values (${ada}, 'ada@example.com', 'hash')`;
  await tx`insert into subscriptions (user_id, tier) values (${ada}, 'pro')`;
  await tx`insert into portfolios (id, user_id, name) values (${portfolio}, ${ada}, 'Main Portfolio')`;
  await tx`insert into exchange_connections (id, user_id, portfolio_id, exchange_name,
      api_key_last_four, api_key_encrypted, api_secret_encrypted)
    values (${connection}, ${ada}, ${portfolio}, 'binance', '4f1c', 'key', 'secret')`;
  await tx`insert into holdings
      (portfolio_id, exchange_connection_id, asset_symbol, quantity, current_price, exchange_source)
    values (${portfolio}, ${connection}, 'BTC', 1.5, 43000, 'binance')`;
  await tx`insert into transactions (portfolio_id, exchange_connection_id, transaction_type,
      asset_symbol, quantity, transaction_date)
    values (${portfolio}, ${connection}, 'buy', 'BTC', 1.5, now())`;
  await tx`insert into predictions (asset_symbol, prediction_type, timeframe, model_version,
      prediction_date, target_date)
    values ('BTC', 'price', '7d', 'lstm-v1.2.0', now(), now() + interval '7 days')`;
  await tx`insert into risk_scores (asset_symbol, risk_score, calculated_at)
    values ('BTC', 35, now())`;
  await tx`insert into alerts (id, user_id, alert_type, asset_symbol, condition, threshold_value)
    values (${alert}, ${ada}, 'price', 'BTC', 'price_above', 50000)`;
  await tx`insert into alert_history (alert_id) values (${alert})`;
  await tx`insert into assets (coingecko_id, symbol, name) values ('bitcoin', 'BTC', 'Bitcoin')`;
}

/** Runs the body in a transaction that is always rolled back. */
async function undone(body: (tx: TransactionSql) => Promise<void>): Promise<void> {
  const done = Symbol('done');
  await sql
    .begin(async (tx) => {
      await body(tx);
      throw done;
    })
    .catch((reason: unknown) => {
      if (reason !== done) throw reason;
    });
}

/** The transaction goes on after the refused statement. */
async function expectRefusal(
  tx: TransactionSql,
  refusal: { readonly code: string; readonly constraint_name?: string },
  statement: (attempt: TransactionSql) => PromiseLike<unknown>,
): Promise<void> {
  await expect(
    tx.savepoint(async (attempt) => void (await statement(attempt))),
  ).rejects.toMatchObject(refusal);
}

async function countRows(tx: TransactionSql, tables: readonly string[]): Promise<number[]> {
  const counts: number[] = [];
  for (const table of tables) counts.push((await tx`select from ${tx(table)}`).count);
  return counts;
}

async function runJob(tx: TransactionSql, procedure: string): Promise<void> {
  const [job] = await tx<{ job_id: number }[]>`
    select job_id from timescaledb_information.jobs where proc_name = ${procedure}`;
  expect(job, procedure).toBeDefined();
  await tx`call run_job(${job?.job_id ?? 0})`;
}

/** Table, column and values of every CHECK that lists its values. */
function listedValues(): [table: string, column: string, values: string[]][] {
  return Object.entries(specification.tables).flatMap(([table, { checks }]) =>
    Object.values(checks).flatMap((condition): [string, string, string[]][] => {
      const [, column, list] = /^(\w+) IN \((.*)\)$/.exec(condition) ?? [];
      if (column === undefined || list === undefined) return [];
      return [[table, column, list.split(', ').map((word) => word.slice(1, -1))]];
    }),
  );
}

/** Sections 5.1 and 6.2 name one index of price_history twice; either name may be the one kept. */
function withOneName({ idx_price_history_asset_time: twin, ...others }: Definitions): Definitions {
  return twin === undefined ? others : { ...others, idx_price_history_asset: twin };
}
