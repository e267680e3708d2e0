-- Rollback: 20251008_120100_add_holdings_exchange_connection_rollback.sql
-- Description: Drop the exchange connection that a holding was synced from
-- Author: CryptoSense Database Team

BEGIN;

ALTER TABLE holdings DROP COLUMN exchange_connection_id;

COMMIT;
