-- Rollback: 20251007_115900_create_functions_rollback.sql
-- Description: Drop the trigger function that keeps updated_at current
-- Author: CryptoSense Database Team

BEGIN;

DROP FUNCTION update_updated_at_column();

COMMIT;
