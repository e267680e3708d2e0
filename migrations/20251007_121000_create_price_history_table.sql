-- Migration: 20251007_121000_create_price_history_table.sql
-- Description: Create price_history hypertable with the prices of all assets
-- Author: CryptoSense Database Team

BEGIN;

-- Create table
CREATE TABLE price_history (
    time TIMESTAMPTZ NOT NULL,
    asset_symbol VARCHAR(20) NOT NULL,
    price_usd NUMERIC(20, 8) NOT NULL,
    market_cap_usd NUMERIC(20, 2),
    volume_24h_usd NUMERIC(20, 2),
    percent_change_1h NUMERIC(10, 2),
    percent_change_24h NUMERIC(10, 2),
    percent_change_7d NUMERIC(10, 2),
    data_source VARCHAR(50) DEFAULT 'coingecko',

    PRIMARY KEY (time, asset_symbol)
);

-- Convert to hypertable (partition by time); its default index would equal idx_price_history_time
-- (TimescaleDB warns that it would have TEXT where the specification says VARCHAR)
SET LOCAL client_min_messages = 'error';
SELECT create_hypertable('price_history', 'time', create_default_indexes => FALSE);
SET LOCAL client_min_messages TO DEFAULT;

-- Create indexes
CREATE INDEX idx_price_history_asset ON price_history(asset_symbol, time DESC);
CREATE INDEX idx_price_history_time ON price_history(time DESC);

-- Fast price lookup for specific asset and time range
CREATE INDEX idx_price_history_asset_time ON price_history(asset_symbol, time DESC);

-- Comments
COMMENT ON TABLE price_history IS 'Historical price data for all assets (hypertable)';
COMMENT ON COLUMN price_history.data_source IS 'Such as coingecko or binance';

COMMIT;
