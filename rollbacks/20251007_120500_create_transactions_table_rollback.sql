-- Rollback: 20251007_120500_create_transactions_table_rollback.sql
-- Description: Drop transactions table
-- Author: CryptoSense Database Team

BEGIN;

DROP TABLE transactions;

COMMIT;
