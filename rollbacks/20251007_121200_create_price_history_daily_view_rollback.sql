-- Rollback: 20251007_121200_create_price_history_daily_view_rollback.sql
-- Description: Drop the continuous aggregate price_history_daily
-- Author: CryptoSense Database Team

BEGIN;

DROP MATERIALIZED VIEW price_history_daily;

COMMIT;
