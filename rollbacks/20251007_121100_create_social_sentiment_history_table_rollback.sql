-- Rollback: 20251007_121100_create_social_sentiment_history_table_rollback.sql
-- Description: Drop social_sentiment_history hypertable
-- Author: CryptoSense Database Team

BEGIN;

DROP TABLE social_sentiment_history;

COMMIT;
