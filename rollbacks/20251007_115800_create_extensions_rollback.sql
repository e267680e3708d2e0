-- Rollback: 20251007_115800_create_extensions_rollback.sql
-- Description: Drop the extensions that the migration created, unless something else uses them
-- Author: CryptoSense Database Team

BEGIN;

DO $$
BEGIN
    IF EXISTS (
        SELECT
        FROM pg_extension
        WHERE extname = 'pgcrypto'
          AND obj_description(oid, 'pg_extension') LIKE '%(created by cryptosense-db)'
    ) THEN
        DROP EXTENSION pgcrypto;
    END IF;
EXCEPTION
    WHEN dependent_objects_still_exist THEN
        RAISE NOTICE 'extension pgcrypto stays: other objects of this database depend on it';
END;
$$;

-- DROP EXTENSION refuses while a hypertable has chunks. An empty hypertable it turns into a plain
-- table, and jobs it deletes, without a word: hence the look into the catalog.
DO $$
BEGIN
    IF EXISTS (
        SELECT
        FROM pg_extension
        WHERE extname = 'timescaledb'
          AND obj_description(oid, 'pg_extension') LIKE '%(created by cryptosense-db)'
    ) THEN
        IF EXISTS (SELECT FROM _timescaledb_catalog.hypertable)
            OR EXISTS (SELECT FROM timescaledb_information.jobs WHERE proc_schema NOT LIKE '\_timescaledb\_%')
        THEN
            RAISE NOTICE 'extension timescaledb stays: this database has other hypertables or jobs';
        ELSE
            DROP EXTENSION timescaledb;
        END IF;
    END IF;
EXCEPTION
    WHEN dependent_objects_still_exist THEN
        RAISE NOTICE 'extension timescaledb stays: other objects of this database depend on it';
END;
$$;

COMMIT;
