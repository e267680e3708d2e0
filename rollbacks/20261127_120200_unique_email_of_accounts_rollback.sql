-- Rollback: 20261127_120200_unique_email_of_accounts_rollback.sql
-- Description: Make e-mail addresses unique as they are written, deleted accounts included
-- Author: CryptoSense Database Team
-- Transaction: none

-- An address may have been registered again. The hint names accounts by id, because an address is
-- personal data
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
        GROUP BY email
        HAVING COUNT(*) > 1
    ) AS shared;
    IF found.total > 0 THEN
        RAISE EXCEPTION 'users has accounts with the same e-mail address, deleted accounts included'
            USING ERRCODE = 'unique_violation',
                  HINT = format(
                      'Change the address of all accounts but one of each group, and run again. %s: %s',
                      CASE WHEN found.total > 10 THEN format('The first 10 of %s groups', found.total) ELSE 'The groups' END,
                      found.first);
    END IF;
END;
$$;

CREATE UNIQUE INDEX CONCURRENTLY users_email_key ON users(email);
ALTER TABLE users ADD CONSTRAINT users_email_key UNIQUE USING INDEX users_email_key;

DROP INDEX CONCURRENTLY unique_user_email;
