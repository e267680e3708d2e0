-- Rollback: 20251007_120200_create_portfolios_table_rollback.sql
-- Description: Drop portfolios table
-- Author: CryptoSense Database Team

BEGIN;

DROP TABLE portfolios;

COMMIT;
