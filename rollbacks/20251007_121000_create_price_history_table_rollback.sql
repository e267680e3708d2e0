-- Rollback: 20251007_121000_create_price_history_table_rollback.sql
-- Description: Drop price_history hypertable
-- Author: CryptoSense Database Team

BEGIN;

DROP TABLE price_history;

COMMIT;
