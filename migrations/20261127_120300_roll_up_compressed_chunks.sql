-- Migration: 20261127_120300_roll_up_compressed_chunks.sql
-- Description: Join compressed chunks: prices up to four weeks, sentiment up to a year
-- Author: CryptoSense Database Team

BEGIN;

-- Compression appends a chunk to the compressed chunk before it, until that spans the interval. This needs
-- rows in the order of time. Chunks that are compressed already stay as they are, of which TimescaleDB
-- gives notice
SET LOCAL client_min_messages = 'warning';
ALTER TABLE price_history SET (
    timescaledb.compress_orderby = 'time',
    timescaledb.compress_chunk_time_interval = '28 days'
);
ALTER TABLE social_sentiment_history SET (
    timescaledb.compress_orderby = 'time',
    timescaledb.compress_chunk_time_interval = '364 days'
);
SET LOCAL client_min_messages TO DEFAULT;

COMMIT;
