-- Migration: 20261127_120600_drop_redundant_indexes.sql
-- Description: Drop the indexes whose columns lead another index
-- Author: CryptoSense Database Team
-- Transaction: none

-- unique_holding_per_portfolio leads with their columns
DROP INDEX CONCURRENTLY idx_holdings_portfolio_id;
DROP INDEX CONCURRENTLY idx_holdings_portfolio_asset;

-- unique_prediction leads with its column
DROP INDEX CONCURRENTLY idx_predictions_asset_symbol;

-- unique_risk_score_per_day and idx_risk_scores_asset_calculated lead with its column
DROP INDEX CONCURRENTLY idx_risk_scores_asset_symbol;

-- Equals one_active_subscription_per_user: where it has rows, status has one value
DROP INDEX CONCURRENTLY idx_subscriptions_user_status;

-- The primary keys lead with time, and are read in both directions. A hypertable refuses CONCURRENTLY
DROP INDEX idx_price_history_time;
DROP INDEX social_sentiment_history_time_idx;
