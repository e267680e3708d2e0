-- Rollback: 20251007_120300_create_exchange_connections_table_rollback.sql
-- Description: Drop exchange_connections table
-- Author: CryptoSense Database Team

BEGIN;

DROP TABLE exchange_connections;

COMMIT;
