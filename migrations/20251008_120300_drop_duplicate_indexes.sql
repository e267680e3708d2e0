-- Migration: 20251008_120300_drop_duplicate_indexes.sql
-- Description: Drop the indexes that equal another one
-- Author: CryptoSense Database Team

BEGIN;

-- Equals the index of the UNIQUE constraint on the column
DROP INDEX idx_subscriptions_stripe_customer_id;

-- Equals idx_price_history_asset_time. TimescaleDB gives a chunk one index for the two of them, and
-- dropping either drops that one: what stays has to be created anew for the chunks that exist
DROP INDEX idx_price_history_asset;
DROP INDEX idx_price_history_asset_time;
CREATE INDEX idx_price_history_asset_time ON price_history(asset_symbol, time DESC);

COMMIT;
