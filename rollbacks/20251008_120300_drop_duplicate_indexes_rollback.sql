-- Rollback: 20251008_120300_drop_duplicate_indexes_rollback.sql
-- Description: Create the duplicate indexes of the specification again
-- Author: CryptoSense Database Team

BEGIN;

CREATE INDEX idx_price_history_asset ON price_history(asset_symbol, time DESC);
CREATE INDEX idx_subscriptions_stripe_customer_id ON subscriptions(stripe_customer_id);

COMMIT;
