-- Migration: 20251007_115900_create_functions.sql
-- Description: Create the trigger function that keeps updated_at current
-- Author: CryptoSense Database Team

BEGIN;

CREATE FUNCTION update_updated_at_column()
RETURNS TRIGGER AS $$
BEGIN
    NEW.updated_at = NOW();
    RETURN NEW;
END;
$$ LANGUAGE plpgsql;

COMMENT ON FUNCTION update_updated_at_column() IS 'Trigger function: sets updated_at to the time of the transaction on every update';

COMMIT;
