import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Insertable, type Kysely, sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import type { Database } from '../../src/index.ts';
import { createDatabase } from '../../src/typed-database.ts';
import { generate } from '../../src/types/generate.ts';
import { createScratchDatabase } from '../support/databases.ts';
import { readDeclaredTypes } from '../support/declared-types.ts';
import { temporaryFolder, writePairs } from '../support/fixtures.ts';
import { createMigratedDatabase, type TimescaleDatabase } from '../support/schema-database.ts';

type View = 'latest_risk_scores' | 'price_history_daily';
type Table = Exclude<keyof Database, View>;
/** Every column that can be written, filled in: the compiler sees to it that none is forgotten. */
type FullRow<T extends Table> = {
  [Column in keyof Insertable<Database[T]>]-?: NonNullable<Insertable<Database[T]>[Column]>;
};

const id = (digit: number) => `00000000-0000-4000-8000-00000000000${digit}`;
const at = new Date('2026-11-20T12:34:56.789Z');
const times = { created_at: at, updated_at: at };

const full: { readonly [T in Table]: FullRow<T> } = {
  users: {
    ...times,
    id: id(1),
    email: 'full@example.com',
    password_hash: '$2b$12$hash',
    first_name: 'Ada',
    last_name: 'Lovelace',
    tier: 'power-trader',
    email_verified: true,
    email_verification_token: 'token',
    password_reset_token: 'token',
    password_reset_expires: at,
    two_factor_enabled: true,
    two_factor_secret: 'secret',
    country_code: 'GB',
    timezone: 'Europe/London',
    language: 'en',
    last_login_at: at,
    deleted_at: at,
  },
  subscriptions: {
    ...times,
    id: id(1),
    user_id: id(1),
    tier: 'pro',
    status: 'trialing',
    billing_interval: 'yearly',
    stripe_customer_id: 'cus_1',
    stripe_price_id: 'price_1',
    stripe_subscription_id: 'sub_1',
    current_period_start: at,
    current_period_end: at,
    trial_start: at,
    trial_end: at,
    cancel_at_period_end: true,
    canceled_at: at,
  },
  portfolios: {
    ...times,
    id: id(1),
    user_id: id(1),
    name: 'Main',
    description: 'all of it',
    color: '#3B82F6',
    is_primary: true,
    deleted_at: at,
  },
  exchange_connections: {
    ...times,
    id: id(1),
    user_id: id(1),
    portfolio_id: id(1),
    exchange_name: 'kraken',
    api_key_encrypted: 'cipher',
    api_secret_encrypted: 'cipher',
    api_key_last_four: '1234',
    permissions: { read: true, trade: false, withdraw: false },
    is_active: true,
    last_sync_at: at,
    last_sync_status: 'success',
    sync_error_message: 'none',
    deleted_at: at,
  },
  holdings: {
    id: id(1),
    portfolio_id: id(1),
    asset_symbol: 'BTC',
    asset_name: 'Bitcoin',
    quantity: '1.000000000000000001',
    average_buy_price: 30_000.5,
    current_price: '43000.25',
    price_change_24h: '1.5',
    price_change_7d: '-2.5',
    exchange_source: 'kraken',
    exchange_connection_id: id(1),
    wallet_address: 'bc1q',
    created_at: at,
    last_updated_at: at,
  },
  transactions: {
    id: id(1),
    portfolio_id: id(1),
    asset_symbol: 'BTC',
    transaction_type: 'unstake',
    quantity: '0.5',
    price_usd: '43000',
    total_usd: '21500',
    fee_usd: '1.25',
    transaction_date: at,
    exchange_connection_id: id(1),
    exchange_transaction_id: 'tx1',
    notes: 'a note',
    imported_at: at,
    created_at: at,
  },
  predictions: {
    id: id(1),
    asset_symbol: 'BTC',
    prediction_type: 'volatility',
    timeframe: '14d',
    predicted_value: '44000',
    confidence_score: '87.5',
    direction: 'neutral',
    model_version: 'lstm-v1.2.0',
    factors: { rsi: 65, macd: 0.02, volume_trend: 'increasing', more: [1, { deep: null }] },
    prediction_date: at,
    target_date: new Date('2026-12-04T12:34:56.789Z'),
    actual_value: '43900',
    accuracy_score: '99.1',
    created_at: at,
  },
  risk_scores: {
    id: id(1),
    asset_symbol: 'BTC',
    risk_score: '12.5',
    risk_level: 'extreme',
    liquidity_score: '1',
    volatility_score: '2',
    social_sentiment_score: '3',
    on_chain_score: '4',
    audit_status: 'audited',
    team_status: 'doxxed',
    exchange_listings_count: 12,
    factors: { why: ['so', 1, true, null] },
    calculated_at: at,
    created_at: at,
  },
  alerts: {
    ...times,
    id: id(1),
    user_id: id(1),
    alert_type: 'whale',
    asset_symbol: 'BTC',
    condition: 'price_above',
    threshold_value: '50000',
    is_active: true,
    is_recurring: true,
    cooldown_hours: 12,
    last_triggered_at: at,
    notification_channels: ['email', 'sms'],
  },
  alert_history: {
    id: id(1),
    alert_id: id(1),
    triggered_at: at,
    trigger_value: '50000.5',
    notification_channel: 'email',
    notification_status: 'sent',
    error_message: 'none',
  },
  price_history: {
    time: at,
    asset_symbol: 'BTC',
    price_usd: '43000.12345678',
    volume_24h_usd: '1e9',
    market_cap_usd: 8e11,
    percent_change_1h: '0.1',
    percent_change_24h: '0.2',
    percent_change_7d: '0.3',
    data_source: 'test',
  },
  social_sentiment_history: {
    time: at,
    asset_symbol: 'BTC',
    mentions_count: 1_000,
    sentiment_positive: '50',
    sentiment_negative: '20',
    sentiment_neutral: '30',
    social_score: '77',
    influencer_mentions_count: 3,
    data_source: 'test',
  },
  assets: {
    ...times,
    id: id(1),
    coingecko_id: 'bitcoin',
    symbol: 'BTC',
    name: 'Bitcoin',
    market_cap_rank: 1,
    market_cap_usd: '800000000000',
    current_price_usd: '0.000000000000000001',
    volume_24h_usd: '1000000000',
    price_updated_at: at,
    image_url: 'https://example.com/btc.png',
    is_active: true,
  },
};

/** The same tables with what they insist on, and nothing else. */
const bare: { readonly [T in Table]: Insertable<Database[T]> } = {
  users: { id: id(2), email: 'bare@example.com', password_hash: 'hash' },
  subscriptions: { user_id: id(2), tier: 'free' },
  portfolios: { id: id(2), user_id: id(2), name: 'Other' },
  exchange_connections: {
    user_id: id(2),
    exchange_name: 'binance',
    api_key_encrypted: 'cipher',
    api_secret_encrypted: 'cipher',
  },
  holdings: { portfolio_id: id(2), asset_symbol: 'ETH', quantity: 2 },
  transactions: {
    portfolio_id: id(2),
    asset_symbol: 'ETH',
    transaction_type: 'buy',
    quantity: 2,
    transaction_date: at,
  },
  predictions: {
    asset_symbol: 'ETH',
    prediction_type: 'price',
    timeframe: '7d',
    model_version: 'v1',
    prediction_date: at,
    target_date: at,
  },
  risk_scores: { asset_symbol: 'ETH', risk_score: 50, calculated_at: at },
  alerts: {
    id: id(2),
    user_id: id(2),
    alert_type: 'price',
    asset_symbol: 'ETH',
    condition: 'price_below',
    threshold_value: 1,
  },
  alert_history: { alert_id: id(2) },
  price_history: { time: at, asset_symbol: 'ETH', price_usd: 2_000 },
  social_sentiment_history: { time: at, asset_symbol: 'ETH' },
  assets: { coingecko_id: 'ethereum', symbol: 'ETH', name: 'Ethereum' },
};

const declared = readDeclaredTypes(readFileSync('src/database/types.ts', 'utf8'));
const views: readonly View[] = ['latest_risk_scores', 'price_history_daily'];
const tables = Object.keys(full) as readonly Table[];

let database: TimescaleDatabase;
let db: Kysely<Database>;
beforeAll(async () => {
  database = await createMigratedDatabase();
  db = createDatabase({ target: database.url });
  for (const table of tables) {
    await db.insertInto(table).values(full[table]).execute();
    await db.insertInto(table).values(bare[table]).execute();
  }
});
afterAll(async () => {
  await db?.destroy();
  await database?.drop();
});

describe('values that the database returns have their declared types', () => {
  it('in every table and view of the types', () => {
    expect([...declared.tables.keys()].sort()).toEqual([...tables, ...views].sort());
  });

  it.each([...tables, ...views])(
    'in %s, in rows with all columns and in rows with required columns only',
    async (table) => {
      const rows: Record<string, unknown>[] = await db.selectFrom(table).selectAll().execute();
      expect(rows.length).toBeGreaterThanOrEqual(2);
      for (const row of rows) {
        expect(Object.keys(row).sort()).toEqual(declared.tables.get(table)?.toSorted());
        const wrong = Object.entries(row).flatMap(
          ([column, value]) => declared.mismatch(table, column, value) ?? [],
        );
        expect(wrong).toEqual([]);
      }
    },
  );

  it('by a comparison that finds a value of another type', () => {
    const wrong: readonly [string, string, unknown][] = [
      ['users', 'tier', 'gold'],
      ['users', 'email', null],
      ['users', 'created_at', '2026-11-20'],
      ['holdings', 'quantity', 1],
      ['holdings', 'current_value_usd', 1],
      ['exchange_connections', 'permissions', { read: true }],
      ['alerts', 'notification_channels', ['pigeon']],
      ['predictions', 'factors', { rsi: 'high' }],
      ['price_history_daily', 'close', null],
    ];
    for (const [table, column, value] of wrong) {
      expect(declared.mismatch(table, column, value)).toContain(`${table}.${column}`);
    }
  });
});

/** A value of each data type that no column of the packaged schema has. */
const samples: Readonly<Record<string, string>> = {
  bigint: '9007199254740993',
  smallint: '1',
  real: '1.5',
  'double precision': '1e300',
  money: '1',
  oid: '1',
  char: 'x',
  'char(3)': 'abc',
  bytea: '\\\\x01',
  bit: '1',
  date: '2026-11-20',
  time: '12:34:56',
  timetz: '12:34:56+02',
  timestamp: '2026-11-20 12:34:56',
  interval: '1 day 02:03:04',
  json: '{"a": [1, null]}',
  point: '(1,2)',
  circle: '<(1,2),3>',
  box: '(1,1),(0,0)',
  inet: '127.0.0.1',
  macaddr: '08:00:2b:01:02:03',
  tsquery: 'a & b',
  int4range: '[1,5)',
  xml: '<a/>',
  mood: 'sad',
  rating: '5',
  'text[]': '{a,b}',
  'integer[]': '{1,2}',
  'bigint[]': '{1,9007199254740993}',
  'boolean[]': '{t,f}',
  'numeric[]': '{1.5,2.5}',
  'uuid[]': '{00000000-0000-4000-8000-000000000001}',
  'timestamptz[]': '{2026-11-20 12:34:56+00}',
  'interval[]': '{1 day,2 days}',
};

it('values of data types that the schema does not use have their declared types', async () => {
  const scratch = await createScratchDatabase(inject('postgresUrl'));
  const other = createDatabase({ target: scratch.url });
  try {
    const names = Object.keys(samples).map((type, index) => [`c${index}`, type] as const);
    await scratch.sql.unsafe(`
      create type mood as enum ('sad', 'ok');
      create domain rating as integer check (value between 1 and 5) not null;
      create table everything (${names.map(([name, type]) => `${name} ${type === 'char' ? '"char"' : type}`).join(', ')});
      insert into everything values (${Object.values(samples)
        .map((value) => `'${value}'`)
        .join(', ')})`);
    const file = join(temporaryFolder(), 'types.ts');
    await generate({ target: scratch.url, file, ...writePairs({}) });
    const types = readDeclaredTypes(readFileSync(file, 'utf8'));
    const { rows } = await sql<Record<string, unknown>>`select * from everything`.execute(other);
    const wrong = rows.flatMap((row) =>
      names.flatMap(([name, type]) => {
        const mismatch = types.mismatch('everything', name, row[name]);
        return mismatch === undefined ? [] : [`${type}: ${mismatch}`];
      }),
    );
    expect(wrong).toEqual([]);
  } finally {
    await other.destroy();
    await scratch.drop();
  }
});
