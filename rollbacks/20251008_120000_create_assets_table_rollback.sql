-- Rollback: 20251008_120000_create_assets_table_rollback.sql
-- Description: Drop assets table
-- Author: CryptoSense Database Team

BEGIN;

DROP TABLE assets;

COMMIT;
