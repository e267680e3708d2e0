-- Rollback: 20261127_120600_drop_redundant_indexes_rollback.sql
-- Description: Create the redundant indexes again
-- Author: CryptoSense Database Team
-- Transaction: none

CREATE INDEX social_sentiment_history_time_idx ON social_sentiment_history(time DESC)
WITH (timescaledb.transaction_per_chunk);
CREATE INDEX idx_price_history_time ON price_history(time DESC) WITH (timescaledb.transaction_per_chunk);

CREATE INDEX CONCURRENTLY idx_subscriptions_user_status ON subscriptions(user_id, status)
WHERE status = 'active';

CREATE INDEX CONCURRENTLY idx_risk_scores_asset_symbol ON risk_scores(asset_symbol);
CREATE INDEX CONCURRENTLY idx_predictions_asset_symbol ON predictions(asset_symbol);

CREATE INDEX CONCURRENTLY idx_holdings_portfolio_asset ON holdings(portfolio_id, asset_symbol);
CREATE INDEX CONCURRENTLY idx_holdings_portfolio_id ON holdings(portfolio_id);
