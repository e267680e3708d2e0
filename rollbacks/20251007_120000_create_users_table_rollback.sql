-- Rollback: 20251007_120000_create_users_table_rollback.sql
-- Description: Drop users table
-- Author: CryptoSense Database Team

BEGIN;

DROP TABLE users;

COMMIT;
