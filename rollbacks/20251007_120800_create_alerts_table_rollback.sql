-- Rollback: 20251007_120800_create_alerts_table_rollback.sql
-- Description: Drop alerts table
-- Author: CryptoSense Database Team

BEGIN;

DROP TABLE alerts;

COMMIT;
