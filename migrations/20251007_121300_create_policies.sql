-- Migration: 20251007_121300_create_policies.sql
-- Description: Add the refresh, compression and retention policies
-- Author: CryptoSense Database Team

BEGIN;

-- Refresh policy (auto-update every hour)
SELECT add_continuous_aggregate_policy('price_history_daily',
    start_offset => INTERVAL '3 days',
    end_offset => INTERVAL '1 hour',
    schedule_interval => INTERVAL '1 hour');

-- Compression policy (compress prices older than 7 days)
ALTER TABLE price_history SET (
    timescaledb.compress,
    timescaledb.compress_segmentby = 'asset_symbol'
);

SELECT add_compression_policy('price_history', INTERVAL '7 days');

-- Compression policy (compress sentiment older than 30 days)
ALTER TABLE social_sentiment_history SET (
    timescaledb.compress,
    timescaledb.compress_segmentby = 'asset_symbol'
);

SELECT add_compression_policy('social_sentiment_history', INTERVAL '30 days');

-- Retention policy (drop prices older than 5 years)
SELECT add_retention_policy('price_history', INTERVAL '5 years');

COMMIT;
