-- Migration: 20251007_115800_create_extensions.sql
-- Description: Create the extensions timescaledb (time series) and pgcrypto (encryption)
-- Author: CryptoSense Database Team

BEGIN;

-- An extension that is already there stays as it is: the TimescaleDB image installs timescaledb in
-- every database, and a DBA may have done so. The comment marks what this migration created; the
-- rollback drops nothing else.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN
        CREATE EXTENSION timescaledb;
        COMMENT ON EXTENSION timescaledb IS 'Hypertables, continuous aggregates and policies for time series (created by cryptosense-db)';
    END IF;
END;
$$;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pgcrypto') THEN
        CREATE EXTENSION pgcrypto;
        COMMENT ON EXTENSION pgcrypto IS 'Cryptographic functions, for encryption (created by cryptosense-db)';
    END IF;
END;
$$;

COMMIT;
