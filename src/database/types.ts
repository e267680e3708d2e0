/**
 * Generated from the database by cryptosense-db types generate, through kysely-codegen.
 * Not for editing by hand.
 */

import type { ColumnType, GeneratedAlways, SelectType } from "kysely";

export type ExchangePermissions = {
  read: boolean;
  trade: boolean;
  withdraw: boolean;
};

export type Generated<T> = T extends ColumnType<infer S, infer I, infer U>
  ? ColumnType<S, I | undefined, U>
  : ColumnType<T, T | undefined, T>;

export type Json = JsonValue;

export type JsonArray = JsonValue[];

export type JsonObject = {
  [x: string]: JsonValue | undefined;
};

export type JsonPrimitive = boolean | number | string | null;

export type JsonValue = JsonArray | JsonObject | JsonPrimitive;

export type NotificationChannels = ("email" | "push" | "sms")[];

export type Numeric = ColumnType<string, number | string, number | string>;

export type PredictionFactors = JsonObject & {
  macd?: number;
  rsi?: number;
  volume_trend?: string;
};

export type Timestamp = ColumnType<Date, Date | string, Date | string>;

/**
 * When alerts were triggered and sent
 */
export interface AlertHistory {
  alert_id: string;
  error_message: string | null;
  id: Generated<string>;
  notification_channel: string | null;
  notification_status: "sent" | "failed" | "pending" | null;
  /**
   * Actual value that triggered the alert
   */
  trigger_value: Numeric | null;
  triggered_at: Generated<Timestamp | null>;
}

/**
 * Price and risk alerts configured by users
 */
export interface Alerts {
  alert_type: "price" | "risk" | "prediction" | "whale";
  asset_symbol: string;
  /**
   * Such as price_above, price_below or risk_above
   */
  condition: string;
  cooldown_hours: Generated<number | null>;
  created_at: Generated<Timestamp | null>;
  id: Generated<string>;
  is_active: Generated<boolean | null>;
  /**
   * Whether the alert triggers again after its cooldown
   */
  is_recurring: Generated<boolean | null>;
  last_triggered_at: Timestamp | null;
  /**
   * Array of channels: email, push, sms
   */
  notification_channels: Generated<NotificationChannels | null>;
  threshold_value: Numeric;
  updated_at: Generated<Timestamp | null>;
  user_id: string;
}

/**
 * Assets that can be looked up, with their market data from CoinGecko
 */
export interface Assets {
  /**
   * CoinGecko's id, such as bitcoin; unique, which symbols are not
   */
  coingecko_id: string;
  created_at: Generated<Timestamp | null>;
  /**
   * With 18 decimals: meme coins trade below 0.00000001
   */
  current_price_usd: Numeric | null;
  id: Generated<string>;
  image_url: string | null;
  /**
   * Whether the asset is offered in lookups
   */
  is_active: Generated<boolean>;
  /**
   * Rank by market capitalization, 1 is the largest; NULL when CoinGecko does not rank it
   */
  market_cap_rank: number | null;
  market_cap_usd: Numeric | null;
  name: string;
  /**
   * When CoinGecko last updated price, market capitalization and volume
   */
  price_updated_at: Timestamp | null;
  /**
   * Generated: full-text search over symbol (weight A) and name (weight B)
   */
  search_vector: GeneratedAlways<string | null>;
  /**
   * In upper case, as asset_symbol in the other tables; several assets can share one
   */
  symbol: string;
  updated_at: Generated<Timestamp | null>;
  volume_24h_usd: Numeric | null;
}

/**
 * Connections of users to exchanges, with encrypted API keys
 */
export interface ExchangeConnections {
  /**
   * API key, encrypted; never stored in plain text
   */
  api_key_encrypted: string;
  /**
   * Last four characters of the API key, for display
   */
  api_key_last_four: string | null;
  /**
   * API secret, encrypted; never stored in plain text
   */
  api_secret_encrypted: string;
  created_at: Generated<Timestamp | null>;
  /**
   * Soft delete: when the connection was deleted, NULL while it is in use; queries exclude deleted rows
   */
  deleted_at: Timestamp | null;
  /**
   * Such as binance, coinbase or kraken
   */
  exchange_name: string;
  id: Generated<string>;
  is_active: Generated<boolean | null>;
  last_sync_at: Timestamp | null;
  last_sync_status: "success" | "failed" | "pending" | null;
  /**
   * What the key may do, such as {"read": true, "trade": false, "withdraw": false}
   */
  permissions: ExchangePermissions | null;
  portfolio_id: string | null;
  sync_error_message: string | null;
  updated_at: Generated<Timestamp | null>;
  user_id: string;
}

/**
 * Current holdings (balances) of portfolios
 */
export interface Holdings {
  /**
   * Such as Bitcoin or Ethereum
   */
  asset_name: string | null;
  /**
   * Such as BTC, ETH or USDT
   */
  asset_symbol: string;
  /**
   * The user's average purchase price in USD, NULL when not available
   */
  average_buy_price: Numeric | null;
  created_at: Generated<Timestamp | null>;
  /**
   * Latest price in USD, cached from price_history
   */
  current_price: Numeric | null;
  /**
   * Generated: quantity * current_price
   */
  current_value_usd: GeneratedAlways<SelectType<Numeric> | null>;
  /**
   * The connection that the holding was synced from, NULL when none or when it is gone
   */
  exchange_connection_id: string | null;
  /**
   * Where the balance comes from: an exchange such as binance, manual or wallet
   */
  exchange_source: string | null;
  id: Generated<string>;
  last_updated_at: Generated<Timestamp | null>;
  portfolio_id: string;
  /**
   * Percentage over the last 24 hours
   */
  price_change_24h: Numeric | null;
  /**
   * Percentage over the last 7 days
   */
  price_change_7d: Numeric | null;
  quantity: Numeric;
  /**
   * Address of the blockchain wallet, NULL when the balance is not from one
   */
  wallet_address: string | null;
}

/**
 * The latest risk score of each asset
 */
export interface LatestRiskScores {
  asset_symbol: string;
  audit_status: string | null;
  calculated_at: Timestamp;
  created_at: Timestamp | null;
  exchange_listings_count: number | null;
  factors: Json | null;
  id: string;
  liquidity_score: Numeric | null;
  on_chain_score: Numeric | null;
  risk_level: "low" | "medium" | "high" | "extreme" | null;
  risk_score: Numeric;
  social_sentiment_score: Numeric | null;
  team_status: string | null;
  volatility_score: Numeric | null;
}

/**
 * Portfolio containers created by users
 */
export interface Portfolios {
  /**
   * Hex color for the UI, such as #3B82F6
   */
  color: Generated<string | null>;
  created_at: Generated<Timestamp | null>;
  /**
   * Soft delete: when the portfolio was deleted, NULL while it is in use; queries exclude deleted rows
   */
  deleted_at: Timestamp | null;
  description: string | null;
  id: Generated<string>;
  is_primary: Generated<boolean | null>;
  name: string;
  updated_at: Generated<Timestamp | null>;
  user_id: string;
}

/**
 * AI predictions for assets, and how accurate they turned out to be
 */
export interface Predictions {
  /**
   * How accurate the prediction was, calculated after target_date
   */
  accuracy_score: Numeric | null;
  /**
   * Filled in after target_date
   */
  actual_value: Numeric | null;
  asset_symbol: string;
  /**
   * Percentage, 0 to 100
   */
  confidence_score: Numeric | null;
  created_at: Generated<Timestamp | null>;
  direction: "bullish" | "bearish" | "neutral" | null;
  /**
   * What the prediction rests on, such as {"rsi": 65, "macd": 0.02, "volume_trend": "increasing"}
   */
  factors: PredictionFactors | null;
  id: Generated<string>;
  /**
   * Model that made the prediction, such as lstm-v1.2.0
   */
  model_version: string;
  /**
   * Predicted price or value
   */
  predicted_value: Numeric | null;
  /**
   * When the prediction was made
   */
  prediction_date: Timestamp;
  prediction_type: "price" | "trend" | "volatility";
  /**
   * What the prediction is for: prediction_date + timeframe
   */
  target_date: Timestamp;
  timeframe: "7d" | "14d" | "30d";
}

/**
 * Historical price data for all assets (hypertable)
 */
export interface PriceHistory {
  asset_symbol: string;
  /**
   * Such as coingecko or binance
   */
  data_source: Generated<string | null>;
  market_cap_usd: Numeric | null;
  percent_change_1h: Numeric | null;
  percent_change_24h: Numeric | null;
  percent_change_7d: Numeric | null;
  price_usd: Numeric;
  time: Timestamp;
  volume_24h_usd: Numeric | null;
}

/**
 * Daily open, high, low, close and average price of each asset (continuous aggregate of price_history)
 */
export interface PriceHistoryDaily {
  asset_symbol: string;
  avg_price: Numeric;
  /**
   * Last price of the day; for today, the latest price
   */
  close: Numeric;
  /**
   * Start of the day in UTC
   */
  day: Timestamp;
  high: Numeric;
  low: Numeric;
  open: Numeric;
  /**
   * Sum of volume_24h_usd over the prices recorded that day
   */
  total_volume: Numeric | null;
}

/**
 * Degen risk scores for assets
 */
export interface RiskScores {
  asset_symbol: string;
  /**
   * Such as audited, unaudited or known_issues
   */
  audit_status: string | null;
  calculated_at: Timestamp;
  created_at: Generated<Timestamp | null>;
  exchange_listings_count: number | null;
  /**
   * Detailed breakdown of the risk factors
   */
  factors: Json | null;
  id: Generated<string>;
  liquidity_score: Numeric | null;
  on_chain_score: Numeric | null;
  risk_level: "low" | "medium" | "high" | "extreme" | null;
  /**
   * 0 to 100, the higher the riskier
   */
  risk_score: Numeric;
  social_sentiment_score: Numeric | null;
  /**
   * Such as doxxed, anonymous or partial
   */
  team_status: string | null;
  volatility_score: Numeric | null;
}

/**
 * Social media sentiment for assets over time (hypertable)
 */
export interface SocialSentimentHistory {
  asset_symbol: string;
  data_source: Generated<string | null>;
  influencer_mentions_count: number | null;
  mentions_count: number | null;
  sentiment_negative: Numeric | null;
  sentiment_neutral: Numeric | null;
  sentiment_positive: Numeric | null;
  /**
   * LunarCrush social score
   */
  social_score: Numeric | null;
  time: Timestamp;
}

/**
 * Subscription tiers and billing of users
 */
export interface Subscriptions {
  billing_interval: "monthly" | "yearly" | null;
  cancel_at_period_end: Generated<boolean | null>;
  canceled_at: Timestamp | null;
  created_at: Generated<Timestamp | null>;
  current_period_end: Timestamp | null;
  current_period_start: Timestamp | null;
  id: Generated<string>;
  status: Generated<"active" | "canceled" | "past_due" | "trialing" | null>;
  stripe_customer_id: string | null;
  stripe_price_id: string | null;
  stripe_subscription_id: string | null;
  tier: "free" | "plus" | "pro" | "power-trader";
  trial_end: Timestamp | null;
  trial_start: Timestamp | null;
  updated_at: Generated<Timestamp | null>;
  user_id: string;
}

/**
 * Transaction history of portfolios, for tax tracking (optional feature)
 */
export interface Transactions {
  asset_symbol: string;
  created_at: Generated<Timestamp | null>;
  /**
   * The connection that the transaction was imported through, NULL when none or when it is gone
   */
  exchange_connection_id: string | null;
  /**
   * External ID, from the exchange
   */
  exchange_transaction_id: string | null;
  fee_usd: Generated<Numeric | null>;
  id: Generated<string>;
  imported_at: Generated<Timestamp | null>;
  notes: string | null;
  portfolio_id: string;
  price_usd: Numeric | null;
  quantity: Numeric;
  total_usd: Numeric | null;
  transaction_date: Timestamp;
  transaction_type: "buy" | "sell" | "transfer" | "stake" | "unstake" | "reward";
}

/**
 * User account information
 */
export interface Users {
  country_code: string | null;
  created_at: Generated<Timestamp | null>;
  /**
   * Soft delete: when the account was deleted, NULL while it is in use; queries exclude deleted rows
   */
  deleted_at: Timestamp | null;
  email: string;
  email_verification_token: string | null;
  email_verified: Generated<boolean | null>;
  first_name: string | null;
  id: Generated<string>;
  language: Generated<string | null>;
  last_login_at: Timestamp | null;
  last_name: string | null;
  /**
   * Hash of the password, never the password itself
   */
  password_hash: string;
  password_reset_expires: Timestamp | null;
  password_reset_token: string | null;
  /**
   * Subscription tier: free, plus, pro or power-trader
   */
  tier: Generated<"free" | "plus" | "pro" | "power-trader" | null>;
  timezone: Generated<string | null>;
  two_factor_enabled: Generated<boolean | null>;
  two_factor_secret: string | null;
  updated_at: Generated<Timestamp | null>;
}

export interface DB {
  alert_history: AlertHistory;
  alerts: Alerts;
  assets: Assets;
  exchange_connections: ExchangeConnections;
  holdings: Holdings;
  latest_risk_scores: LatestRiskScores;
  portfolios: Portfolios;
  predictions: Predictions;
  price_history: PriceHistory;
  price_history_daily: PriceHistoryDaily;
  risk_scores: RiskScores;
  social_sentiment_history: SocialSentimentHistory;
  subscriptions: Subscriptions;
  transactions: Transactions;
  users: Users;
}
