-- Migration: {{file}}
-- Description: {{description}}
-- Author: {{author}}

BEGIN;

-- Create table
CREATE TABLE {{subject}} (
    time TIMESTAMPTZ NOT NULL,
    asset_symbol VARCHAR(20) NOT NULL,
    value NUMERIC(20, 8) NOT NULL,

    PRIMARY KEY (time, asset_symbol)
);

-- Convert to a hypertable, partitioned by time; the primary key replaces the default index
-- TimescaleDB warns that TEXT is better than VARCHAR; the specification requires VARCHAR
SET LOCAL client_min_messages = 'error';
SELECT create_hypertable('{{subject}}', 'time', create_default_indexes => FALSE);
SET LOCAL client_min_messages TO DEFAULT;

-- Create indexes
CREATE INDEX idx_{{subject}}_asset_time ON {{subject}}(asset_symbol, time DESC);

-- Compress chunks older than 7 days
ALTER TABLE {{subject}} SET (
    timescaledb.compress,
    timescaledb.compress_segmentby = 'asset_symbol'
);
SELECT add_compression_policy('{{subject}}', INTERVAL '7 days');

-- Drop chunks older than 2 years
SELECT add_retention_policy('{{subject}}', INTERVAL '2 years');

-- Comments
COMMENT ON TABLE {{subject}} IS 'What one row of {{subject}} stands for (hypertable)';

COMMIT;
