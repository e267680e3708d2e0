-- Rollback: 20251007_120400_create_holdings_table_rollback.sql
-- Description: Drop holdings table
-- Author: CryptoSense Database Team

BEGIN;

DROP TABLE holdings;

COMMIT;
