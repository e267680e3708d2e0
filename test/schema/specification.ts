import type { Column, Specified, Table } from './specified.ts';

// Sections 4, 5 and 6.2 of the database schema specification, transcribed by hand: the words are
// its own, types and definitions in the form that `specifiedForm` gives them. Foreign keys are named
// as section 3.1 has it; CHECKs and UNIQUEs without a name have the one PostgreSQL gives them.
// Comments mark every place where the schema departs from the specification, and why.

const uuid = 'uuid';
const text = 'text';
const int = 'integer';
const boolean = 'boolean';
const jsonb = 'jsonb';
const timestamptz = 'timestamp with time zone';
const varchar = (length: number) => `character varying(${length})`;
const numeric = (precision: number, scale: number) => `numeric(${precision},${scale})`;

const column = (name: string, type: string, rest: Partial<Column> = {}): Column => ({
  name,
  type,
  nullable: true,
  default: null,
  generated: null,
  ...rest,
});
const optional = (name: string, type: string, initial: string | null = null) =>
  column(name, type, { default: initial });
const required = (name: string, type: string, initial: string | null = null) =>
  column(name, type, { nullable: false, default: initial });

const id = required('id', uuid, 'gen_random_uuid()');
const createdAt = optional('created_at', timestamptz, 'now()');
const updatedAt = optional('updated_at', timestamptz, 'now()');
const deletedAt = optional('deleted_at', timestamptz);

const none = {};
const updatesUpdatedAt = 'BEFORE UPDATE FOR EACH ROW EXECUTE FUNCTION update_updated_at_column()';

// 4.1
const users: Table = {
  columns: [
    id,
    required('email', varchar(255)),
    required('password_hash', text),
    optional('first_name', varchar(100)),
    optional('last_name', varchar(100)),
    optional('tier', varchar(20), "'free'"),
    optional('email_verified', boolean, 'false'),
    optional('email_verification_token', text),
    optional('password_reset_token', text),
    optional('password_reset_expires', timestamptz),
    optional('two_factor_enabled', boolean, 'false'),
    optional('two_factor_secret', text),
    optional('country_code', varchar(2)),
    optional('timezone', varchar(50), "'UTC'"),
    optional('language', varchar(5), "'en'"),
    createdAt,
    updatedAt,
    optional('last_login_at', timestamptz),
    deletedAt,
  ],
  primaryKey: { users_pkey: 'PRIMARY KEY (id)' },
  // No users_email_key: see unique_user_email.
  unique: none,
  checks: {
    users_tier_check: "tier IN ('free', 'plus', 'pro', 'power-trader')",
    email_format: String.raw`email ~* '^[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}$'`,
  },
  foreignKeys: none,
  indexes: {
    // In place of UNIQUE (email), which tells Admin@ from admin@, and keeps the address of a deleted account.
    unique_user_email: 'UNIQUE (lower(email)) WHERE deleted_at IS NULL',
    idx_users_email: '(email) WHERE deleted_at IS NULL',
    idx_users_tier: '(tier)',
    idx_users_created_at: '(created_at)',
    idx_users_deleted_at: '(deleted_at) WHERE deleted_at IS NULL',
  },
  triggers: { update_users_updated_at: updatesUpdatedAt },
};

// 4.2
const subscriptions: Table = {
  columns: [
    id,
    required('user_id', uuid),
    required('tier', varchar(20)),
    optional('status', varchar(20), "'active'"),
    optional('stripe_customer_id', varchar(100)),
    optional('stripe_subscription_id', varchar(100)),
    optional('stripe_price_id', varchar(100)),
    optional('billing_interval', varchar(20)),
    optional('current_period_start', timestamptz),
    optional('current_period_end', timestamptz),
    optional('cancel_at_period_end', boolean, 'false'),
    optional('trial_start', timestamptz),
    optional('trial_end', timestamptz),
    createdAt,
    updatedAt,
    optional('canceled_at', timestamptz),
  ],
  primaryKey: { subscriptions_pkey: 'PRIMARY KEY (id)' },
  unique: {
    subscriptions_stripe_customer_id_key: 'UNIQUE (stripe_customer_id)',
    subscriptions_stripe_subscription_id_key: 'UNIQUE (stripe_subscription_id)',
  },
  checks: {
    subscriptions_tier_check: "tier IN ('free', 'plus', 'pro', 'power-trader')",
    subscriptions_status_check: "status IN ('active', 'canceled', 'past_due', 'trialing')",
    subscriptions_billing_interval_check: "billing_interval IN ('monthly', 'yearly')",
  },
  foreignKeys: {
    fk_subscriptions_users: 'FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE',
  },
  indexes: {
    // An index: a constraint takes no WHERE.
    one_active_subscription_per_user: "UNIQUE (user_id) WHERE status = 'active'",
    idx_subscriptions_user_id: '(user_id)',
    idx_subscriptions_status: '(status)',
    // No idx_subscriptions_stripe_customer_id: the UNIQUE on the column is that index.
    idx_subscriptions_current_period_end: '(current_period_end)',
    // No idx_subscriptions_user_status (6.2): one_active_subscription_per_user is that index, as status is constant.
  },
  triggers: { update_subscriptions_updated_at: updatesUpdatedAt },
};

// 4.3
const portfolios: Table = {
  columns: [
    id,
    required('user_id', uuid),
    required('name', varchar(100)),
    optional('description', text),
    optional('is_primary', boolean, 'false'),
    optional('color', varchar(7), "'#3B82F6'"),
    createdAt,
    updatedAt,
    deletedAt,
  ],
  primaryKey: { portfolios_pkey: 'PRIMARY KEY (id)' },
  unique: none,
  checks: none,
  foreignKeys: {
    fk_portfolios_users: 'FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE',
  },
  indexes: {
    // An index: a constraint takes no WHERE.
    unique_portfolio_name_per_user: 'UNIQUE (user_id, name) WHERE deleted_at IS NULL',
    // Without WHERE deleted_at IS NULL, for the cascade of users.
    idx_portfolios_user_id: '(user_id)',
    idx_portfolios_is_primary: '(user_id, is_primary) WHERE is_primary = true',
  },
  triggers: { update_portfolios_updated_at: updatesUpdatedAt },
};

// 4.4
const exchangeConnections: Table = {
  columns: [
    id,
    required('user_id', uuid),
    optional('portfolio_id', uuid),
    required('exchange_name', varchar(50)),
    required('api_key_encrypted', text),
    required('api_secret_encrypted', text),
    optional('api_key_last_four', varchar(4)),
    optional('permissions', jsonb),
    optional('is_active', boolean, 'true'),
    optional('last_sync_at', timestamptz),
    optional('last_sync_status', varchar(20)),
    optional('sync_error_message', text),
    createdAt,
    updatedAt,
    deletedAt,
  ],
  primaryKey: { exchange_connections_pkey: 'PRIMARY KEY (id)' },
  unique: none,
  checks: {
    exchange_connections_last_sync_status_check:
      "last_sync_status IN ('success', 'failed', 'pending')",
  },
  foreignKeys: {
    fk_exchange_connections_users: 'FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE',
    fk_exchange_connections_portfolios:
      'FOREIGN KEY (portfolio_id) REFERENCES portfolios(id) ON DELETE SET NULL',
  },
  indexes: {
    // An index: a constraint takes no WHERE.
    unique_exchange_per_user:
      'UNIQUE (user_id, exchange_name, api_key_last_four) WHERE deleted_at IS NULL',
    // Without WHERE deleted_at IS NULL, for the cascade of users.
    idx_exchange_connections_user_id: '(user_id)',
    idx_exchange_connections_portfolio_id: '(portfolio_id)',
    idx_exchange_connections_is_active: '(is_active)',
    idx_exchange_connections_last_sync: '(last_sync_at)',
  },
  triggers: { update_exchange_connections_updated_at: updatesUpdatedAt },
};

// 4.5
const holdings: Table = {
  columns: [
    id,
    required('portfolio_id', uuid),
    required('asset_symbol', varchar(20)),
    optional('asset_name', varchar(100)),
    required('quantity', numeric(20, 8)),
    optional('average_buy_price', numeric(20, 8)),
    optional('current_price', numeric(20, 8)),
    column('current_value_usd', numeric(20, 2), { generated: 'quantity * current_price' }),
    optional('price_change_24h', numeric(10, 2)),
    optional('price_change_7d', numeric(10, 2)),
    optional('exchange_source', varchar(50)),
    optional('wallet_address', varchar(100)),
    optional('last_updated_at', timestamptz, 'now()'),
    createdAt,
    // The diagram of section 7 has "exchange_connections syncs holdings", section 4.5 no column.
    optional('exchange_connection_id', uuid),
  ],
  primaryKey: { holdings_pkey: 'PRIMARY KEY (id)' },
  unique: {
    // NULLS NOT DISTINCT: exchange_source and wallet_address are seldom both known.
    unique_holding_per_portfolio:
      'UNIQUE NULLS NOT DISTINCT (portfolio_id, asset_symbol, exchange_source, wallet_address)',
  },
  checks: { holdings_quantity_check: 'quantity >= 0' },
  foreignKeys: {
    fk_holdings_portfolios:
      'FOREIGN KEY (portfolio_id) REFERENCES portfolios(id) ON DELETE CASCADE',
    fk_holdings_exchange_connections:
      'FOREIGN KEY (exchange_connection_id) REFERENCES exchange_connections(id) ON DELETE SET NULL',
  },
  indexes: {
    // No idx_holdings_portfolio_id and no idx_holdings_portfolio_asset (6.2): unique_holding_per_portfolio leads
    // with their columns. No idx_holdings_current_value and no idx_holdings_last_updated: each new price would
    // change their entries, and no query of the specification reads them.
    idx_holdings_asset_symbol: '(asset_symbol)',
    idx_holdings_exchange_source: '(exchange_source)',
    idx_holdings_exchange_connection_id: '(exchange_connection_id)',
  },
  triggers: none,
};

// 4.6
const transactions: Table = {
  columns: [
    id,
    required('portfolio_id', uuid),
    optional('exchange_connection_id', uuid),
    required('transaction_type', varchar(20)),
    required('asset_symbol', varchar(20)),
    required('quantity', numeric(20, 8)),
    optional('price_usd', numeric(20, 8)),
    optional('fee_usd', numeric(20, 8), '0'),
    optional('total_usd', numeric(20, 2)),
    optional('exchange_transaction_id', varchar(100)),
    optional('notes', text),
    required('transaction_date', timestamptz),
    createdAt,
    optional('imported_at', timestamptz, 'now()'),
  ],
  primaryKey: { transactions_pkey: 'PRIMARY KEY (id)' },
  unique: none,
  checks: {
    transactions_transaction_type_check:
      "transaction_type IN ('buy', 'sell', 'transfer', 'stake', 'unstake', 'reward')",
  },
  foreignKeys: {
    fk_transactions_portfolios:
      'FOREIGN KEY (portfolio_id) REFERENCES portfolios(id) ON DELETE CASCADE',
    fk_transactions_exchange_connections:
      'FOREIGN KEY (exchange_connection_id) REFERENCES exchange_connections(id) ON DELETE SET NULL',
  },
  indexes: {
    idx_transactions_portfolio_id: '(portfolio_id)',
    // For ON DELETE SET NULL of exchange_connections.
    idx_transactions_exchange_connection_id:
      '(exchange_connection_id) WHERE exchange_connection_id IS NOT NULL',
    idx_transactions_asset_symbol: '(asset_symbol)',
    idx_transactions_transaction_date: '(transaction_date DESC)',
    idx_transactions_type: '(transaction_type)',
  },
  triggers: none,
};

// 4.7
const predictions: Table = {
  columns: [
    id,
    required('asset_symbol', varchar(20)),
    required('prediction_type', varchar(20)),
    required('timeframe', varchar(20)),
    required('model_version', varchar(50)),
    required('prediction_date', timestamptz),
    required('target_date', timestamptz),
    optional('predicted_value', numeric(20, 8)),
    optional('confidence_score', numeric(5, 2)),
    optional('direction', varchar(10)),
    optional('actual_value', numeric(20, 8)),
    optional('accuracy_score', numeric(5, 2)),
    optional('factors', jsonb),
    createdAt,
  ],
  primaryKey: { predictions_pkey: 'PRIMARY KEY (id)' },
  unique: {
    unique_prediction: 'UNIQUE (asset_symbol, prediction_type, timeframe, prediction_date)',
  },
  checks: {
    predictions_prediction_type_check: "prediction_type IN ('price', 'trend', 'volatility')",
    predictions_timeframe_check: "timeframe IN ('7d', '14d', '30d')",
    predictions_confidence_score_check: 'confidence_score >= 0 AND confidence_score <= 100',
    predictions_direction_check: "direction IN ('bullish', 'bearish', 'neutral')",
  },
  foreignKeys: none,
  indexes: {
    // No idx_predictions_asset_symbol: unique_prediction leads with its column.
    idx_predictions_prediction_date: '(prediction_date DESC)',
    idx_predictions_target_date: '(target_date)',
    idx_predictions_model_version: '(model_version)',
    idx_predictions_accuracy: '(accuracy_score) WHERE accuracy_score IS NOT NULL',
    idx_predictions_factors: 'USING gin (factors)',
  },
  triggers: none,
};

// 4.8
const riskScores: Table = {
  columns: [
    id,
    required('asset_symbol', varchar(20)),
    required('risk_score', numeric(5, 2)),
    optional('risk_level', varchar(20)),
    optional('volatility_score', numeric(5, 2)),
    optional('liquidity_score', numeric(5, 2)),
    optional('social_sentiment_score', numeric(5, 2)),
    optional('on_chain_score', numeric(5, 2)),
    optional('audit_status', varchar(50)),
    optional('team_status', varchar(50)),
    optional('exchange_listings_count', int),
    optional('factors', jsonb),
    required('calculated_at', timestamptz),
    createdAt,
  ],
  primaryKey: { risk_scores_pkey: 'PRIMARY KEY (id)' },
  unique: none,
  checks: {
    risk_scores_risk_score_check: 'risk_score >= 0 AND risk_score <= 100',
    risk_scores_risk_level_check: "risk_level IN ('low', 'medium', 'high', 'extreme')",
  },
  foreignKeys: none,
  indexes: {
    // An index: a constraint takes no expression. In UTC: DATE(timestamptz) follows the session's
    // time zone, and no index takes such an expression.
    unique_risk_score_per_day: "UNIQUE (asset_symbol, ((calculated_at AT TIME ZONE 'UTC')::date))",
    // No idx_risk_scores_asset_symbol: the next index and unique_risk_score_per_day lead with its column.
    // For latest_risk_scores.
    idx_risk_scores_asset_calculated: '(asset_symbol, calculated_at DESC)',
    idx_risk_scores_calculated_at: '(calculated_at DESC)',
    idx_risk_scores_risk_level: '(risk_level)',
    idx_risk_scores_score: '(risk_score)',
  },
  triggers: none,
};

// 4.9
const alerts: Table = {
  columns: [
    id,
    required('user_id', uuid),
    required('alert_type', varchar(20)),
    required('asset_symbol', varchar(20)),
    required('condition', varchar(50)),
    required('threshold_value', numeric(20, 8)),
    optional('notification_channels', jsonb, `'["email"]'`),
    optional('is_active', boolean, 'true'),
    optional('is_recurring', boolean, 'false'),
    optional('cooldown_hours', int, '24'),
    optional('last_triggered_at', timestamptz),
    createdAt,
    updatedAt,
  ],
  primaryKey: { alerts_pkey: 'PRIMARY KEY (id)' },
  unique: none,
  checks: {
    alerts_alert_type_check: "alert_type IN ('price', 'risk', 'prediction', 'whale')",
  },
  foreignKeys: {
    fk_alerts_users: 'FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE',
  },
  indexes: {
    idx_alerts_user_id: '(user_id)',
    idx_alerts_asset_symbol: '(asset_symbol)',
    idx_alerts_is_active: '(is_active) WHERE is_active = true',
    idx_alerts_last_triggered: '(last_triggered_at)',
    // 6.2
    idx_alerts_active_asset: '(asset_symbol, is_active) WHERE is_active = true',
  },
  triggers: { update_alerts_updated_at: updatesUpdatedAt },
};

// 4.10
const alertHistory: Table = {
  columns: [
    id,
    required('alert_id', uuid),
    optional('triggered_at', timestamptz, 'now()'),
    optional('trigger_value', numeric(20, 8)),
    optional('notification_status', varchar(20)),
    optional('notification_channel', varchar(20)),
    optional('error_message', text),
  ],
  primaryKey: { alert_history_pkey: 'PRIMARY KEY (id)' },
  unique: none,
  checks: {
    alert_history_notification_status_check: "notification_status IN ('sent', 'failed', 'pending')",
  },
  foreignKeys: {
    fk_alert_history_alerts: 'FOREIGN KEY (alert_id) REFERENCES alerts(id) ON DELETE CASCADE',
  },
  indexes: {
    idx_alert_history_alert_id: '(alert_id)',
    idx_alert_history_triggered_at: '(triggered_at DESC)',
  },
  triggers: none,
};

// 5.1
const priceHistory: Table = {
  columns: [
    required('time', timestamptz),
    required('asset_symbol', varchar(20)),
    required('price_usd', numeric(20, 8)),
    optional('market_cap_usd', numeric(20, 2)),
    optional('volume_24h_usd', numeric(20, 2)),
    optional('percent_change_1h', numeric(10, 2)),
    optional('percent_change_24h', numeric(10, 2)),
    optional('percent_change_7d', numeric(10, 2)),
    optional('data_source', varchar(50), "'coingecko'"),
  ],
  primaryKey: { price_history_pkey: 'PRIMARY KEY (time, asset_symbol)' },
  unique: none,
  checks: none,
  foreignKeys: none,
  indexes: {
    // Not idx_price_history_asset_time (6.2) as well, which is the same; one of the two remains.
    idx_price_history_asset: '(asset_symbol, time DESC)',
    // No idx_price_history_time: the primary key leads with time.
  },
  triggers: none,
};

// 5.2
const socialSentimentHistory: Table = {
  columns: [
    required('time', timestamptz),
    required('asset_symbol', varchar(20)),
    optional('social_score', numeric(5, 2)),
    optional('sentiment_positive', numeric(5, 2)),
    optional('sentiment_negative', numeric(5, 2)),
    optional('sentiment_neutral', numeric(5, 2)),
    optional('mentions_count', int),
    optional('influencer_mentions_count', int),
    optional('data_source', varchar(50), "'lunarcrush'"),
  ],
  primaryKey: { social_sentiment_history_pkey: 'PRIMARY KEY (time, asset_symbol)' },
  unique: none,
  checks: none,
  foreignKeys: none,
  indexes: {
    // Not create_hypertable's social_sentiment_history_time_idx as well: the primary key leads with time.
    idx_social_sentiment_asset: '(asset_symbol, time DESC)',
  },
  triggers: none,
};

/** The time between two runs of a policy is TimescaleDB's choice where the specification has none. */
type Job = Specified['policies'][number];
type Policy = Omit<Job, 'every'> & Partial<Pick<Job, 'every'>>;

interface Specification
  extends Pick<
    Specified,
    'tables' | 'views' | 'hypertables' | 'functions' | 'types' | 'extensions'
  > {
  readonly policies: readonly Policy[];
}

/** What the database has to have, apart from `assets` and the job that removes old predictions. */
export const specification: Specification = {
  tables: {
    users,
    subscriptions,
    portfolios,
    exchange_connections: exchangeConnections,
    holdings,
    transactions,
    predictions,
    risk_scores: riskScores,
    alerts,
    alert_history: alertHistory,
    price_history: priceHistory,
    social_sentiment_history: socialSentimentHistory,
  },

  views: {
    // 4.8
    latest_risk_scores: {
      columns: riskScores.columns.map(({ name, type }) => ({ name, type })),
      definition: `SELECT DISTINCT ON (asset_symbol) ${riskScores.columns
        .map(({ name }) => name)
        .join(', ')} FROM risk_scores ORDER BY asset_symbol, calculated_at DESC`,
      materializedOnly: null,
    },
    // 5.1
    price_history_daily: {
      columns: [
        { name: 'day', type: timestamptz },
        { name: 'asset_symbol', type: varchar(20) },
        { name: 'open', type: 'numeric' },
        { name: 'high', type: 'numeric' },
        { name: 'low', type: 'numeric' },
        { name: 'close', type: 'numeric' },
        { name: 'avg_price', type: 'numeric' },
        { name: 'total_volume', type: 'numeric' },
      ],
      definition: [
        "SELECT time_bucket('1 day', time) AS day,",
        'asset_symbol,',
        'first(price_usd, time) AS open,',
        'max(price_usd) AS high,',
        'min(price_usd) AS low,',
        'last(price_usd, time) AS close,',
        'avg(price_usd) AS avg_price,',
        'sum(volume_24h_usd) AS total_volume',
        'FROM price_history',
        "GROUP BY (time_bucket('1 day', time)), asset_symbol",
      ].join(' '),
      // The default since TimescaleDB 2.13, true, would hide today from the query of section 6.3.
      materializedOnly: false,
    },
  },

  // Chunks of a week: the default of create_hypertable. Compression joins them, which the specification leaves out.
  hypertables: {
    price_history: {
      timeColumn: 'time',
      chunkInterval: '7 days',
      segmentBy: 'asset_symbol',
      orderBy: '"time"',
      compressedInterval: '28 days',
    },
    social_sentiment_history: {
      timeColumn: 'time',
      chunkInterval: '7 days',
      segmentBy: 'asset_symbol',
      orderBy: '"time"',
      compressedInterval: '364 days',
    },
  },

  policies: [
    {
      on: 'price_history',
      procedure: 'policy_compression',
      config: { compress_after: '7 days' },
    },
    {
      on: 'price_history',
      procedure: 'policy_retention',
      config: { drop_after: '5 years' },
    },
    {
      on: 'price_history_daily',
      procedure: 'policy_refresh_continuous_aggregate',
      every: '01:00:00',
      config: { start_offset: '3 days', end_offset: '01:00:00' },
    },
    {
      on: 'social_sentiment_history',
      procedure: 'policy_compression',
      config: { compress_after: '30 days' },
    },
  ],

  // latest_prices answers the "latest price" query of section 6.3.
  functions: ['latest_prices', 'update_updated_at_column'],
  types: [],
  // 8.3
  extensions: ['pgcrypto', 'plpgsql', 'timescaledb'],
};

/**
 * The remarks of the specification, which the database keeps as comments: `table` or
 * `table.column` → a word of the remark, in upper or lower case.
 */
export const remarks: Readonly<Record<string, string>> = {
  users: 'account',
  subscriptions: 'billing',
  portfolios: 'portfolio',
  exchange_connections: 'API key',
  holdings: 'holdings',
  transactions: 'transaction',
  predictions: 'prediction',
  risk_scores: 'risk',
  alerts: 'alert',
  alert_history: 'triggered',
  price_history: 'price',
  social_sentiment_history: 'sentiment',
  'portfolios.color': 'hex',
  'exchange_connections.exchange_name': 'binance',
  'exchange_connections.api_key_last_four': 'last',
  'exchange_connections.permissions': 'withdraw',
  'holdings.asset_symbol': 'BTC',
  'holdings.asset_name': 'Bitcoin',
  'holdings.average_buy_price': 'price',
  'holdings.current_price': 'price_history',
  'holdings.price_change_24h': 'percent',
  'holdings.exchange_source': 'manual',
  'holdings.wallet_address': 'wallet',
  'transactions.exchange_transaction_id': 'external',
  'predictions.model_version': 'lstm-v1.2.0',
  'predictions.prediction_date': 'made',
  'predictions.target_date': 'timeframe',
  'predictions.predicted_value': 'price',
  'predictions.confidence_score': '100',
  'predictions.actual_value': 'target_date',
  'predictions.accuracy_score': 'target_date',
  'predictions.factors': 'rsi',
  'risk_scores.risk_score': '100',
  'risk_scores.audit_status': 'unaudited',
  'risk_scores.team_status': 'doxxed',
  'risk_scores.factors': 'breakdown',
  'alerts.condition': 'price_above',
  'alerts.notification_channels': 'push',
  'alerts.is_recurring': 'cooldown',
  'alert_history.trigger_value': 'trigger',
  'price_history.data_source': 'coingecko',
  'social_sentiment_history.social_score': 'LunarCrush',
};
