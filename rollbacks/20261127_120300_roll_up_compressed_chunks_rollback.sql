-- Rollback: 20261127_120300_roll_up_compressed_chunks_rollback.sql
-- Description: Compress chunks one by one again
-- Author: CryptoSense Database Team

BEGIN;

-- Chunks that were joined stay joined. An interval of 0 is none
SET LOCAL client_min_messages = 'warning';
ALTER TABLE social_sentiment_history SET (timescaledb.compress_chunk_time_interval = '0');
ALTER TABLE social_sentiment_history RESET (timescaledb.compress_orderby);
ALTER TABLE price_history SET (timescaledb.compress_chunk_time_interval = '0');
ALTER TABLE price_history RESET (timescaledb.compress_orderby);
SET LOCAL client_min_messages TO DEFAULT;

COMMIT;
