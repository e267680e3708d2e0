-- Rollback: 20251007_120600_create_predictions_table_rollback.sql
-- Description: Drop predictions table
-- Author: CryptoSense Database Team

BEGIN;

DROP TABLE predictions;

COMMIT;
