-- Rollback: 20251007_120100_create_subscriptions_table_rollback.sql
-- Description: Drop subscriptions table
-- Author: CryptoSense Database Team

BEGIN;

DROP TABLE subscriptions;

COMMIT;
