-- Rollback: 20251007_120900_create_alert_history_table_rollback.sql
-- Description: Drop alert_history table
-- Author: CryptoSense Database Team

BEGIN;

DROP TABLE alert_history;

COMMIT;
