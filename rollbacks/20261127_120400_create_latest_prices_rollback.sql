-- Rollback: 20261127_120400_create_latest_prices_rollback.sql
-- Description: Drop latest_prices
-- Author: CryptoSense Database Team

BEGIN;

DROP FUNCTION latest_prices(TEXT[]);

COMMIT;
