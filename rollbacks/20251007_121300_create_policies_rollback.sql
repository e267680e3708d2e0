-- Rollback: 20251007_121300_create_policies_rollback.sql
-- Description: Remove the refresh, compression and retention policies, and decompress what they compressed
-- Author: CryptoSense Database Team

BEGIN;

SELECT remove_retention_policy('price_history');
SELECT remove_compression_policy('social_sentiment_history');
SELECT remove_compression_policy('price_history');
SELECT remove_continuous_aggregate_policy('price_history_daily');

-- Compression cannot be switched off while a chunk is compressed. No row is lost; the chunks take
-- their uncompressed size on disk.
SELECT decompress_chunk(format('%I.%I', chunk_schema, chunk_name)::REGCLASS)
FROM timescaledb_information.chunks
WHERE hypertable_schema = CURRENT_SCHEMA
  AND hypertable_name IN ('price_history', 'social_sentiment_history')
  AND is_compressed;

ALTER TABLE social_sentiment_history SET (timescaledb.compress = FALSE);
ALTER TABLE price_history SET (timescaledb.compress = FALSE);

COMMIT;
