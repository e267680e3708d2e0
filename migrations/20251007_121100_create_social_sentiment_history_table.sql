-- Migration: 20251007_121100_create_social_sentiment_history_table.sql
-- Description: Create social_sentiment_history hypertable with social media sentiment
-- Author: CryptoSense Database Team

BEGIN;

-- Create table
CREATE TABLE social_sentiment_history (
    time TIMESTAMPTZ NOT NULL,
    asset_symbol VARCHAR(20) NOT NULL,
    social_score NUMERIC(5, 2),
    sentiment_positive NUMERIC(5, 2),
    sentiment_negative NUMERIC(5, 2),
    sentiment_neutral NUMERIC(5, 2),
    mentions_count INT,
    influencer_mentions_count INT,
    data_source VARCHAR(50) DEFAULT 'lunarcrush',

    PRIMARY KEY (time, asset_symbol)
);

-- Convert to hypertable (partition by time)
-- (TimescaleDB warns that it would have TEXT where the specification says VARCHAR)
SET LOCAL client_min_messages = 'error';
SELECT create_hypertable('social_sentiment_history', 'time');
SET LOCAL client_min_messages TO DEFAULT;

-- Create indexes
CREATE INDEX idx_social_sentiment_asset ON social_sentiment_history(asset_symbol, time DESC);

-- Comments
COMMENT ON TABLE social_sentiment_history IS 'Social media sentiment for assets over time (hypertable)';
COMMENT ON COLUMN social_sentiment_history.social_score IS 'LunarCrush social score';

COMMIT;
