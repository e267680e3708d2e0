-- Migration: 20261127_120200_unique_email_of_accounts.sql
-- Description: One account for an e-mail address, upper and lower case alike, deleted accounts apart
-- Author: CryptoSense Database Team
-- Transaction: none

-- The hint names accounts by id, because an address is personal data
DO $$
DECLARE
    found RECORD;
BEGIN
    SELECT COUNT(*) AS total, string_agg(ids, '; ' ORDER BY place) FILTER (WHERE place <= 10) AS first
    INTO found
    FROM (
        SELECT string_agg(id::TEXT, ', ' ORDER BY created_at, id) AS ids,
            ROW_NUMBER() OVER (ORDER BY MIN(created_at), MIN(id::TEXT)) AS place
        FROM users
        WHERE deleted_at IS NULL
        GROUP BY lower(email)
        HAVING COUNT(*) > 1
    ) AS shared;
    IF found.total > 0 THEN
        RAISE EXCEPTION 'users has accounts whose e-mail addresses differ in case only, or not at all'
            USING ERRCODE = 'unique_violation',
                  HINT = format(
                      'Change the address of all accounts but one of each group, or set their deleted_at, and run again. %s: %s',
                      CASE WHEN found.total > 10 THEN format('The first 10 of %s groups', found.total) ELSE 'The groups' END,
                      found.first);
    END IF;
END;
$$;

CREATE UNIQUE INDEX CONCURRENTLY unique_user_email ON users(lower(email)) WHERE deleted_at IS NULL;

COMMENT ON INDEX unique_user_email IS 'An address, upper and lower case alike, belongs to one account that is not deleted';

-- It would keep the address of a deleted account forever
ALTER TABLE users DROP CONSTRAINT users_email_key;
