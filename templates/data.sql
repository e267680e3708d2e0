-- Migration: {{file}}
-- Description: {{description}}
-- Author: {{author}}

BEGIN;

-- Store the rows before the change, for the rollback; drop this table in a later migration
CREATE TABLE {{subject}}_before AS
SELECT id, timezone FROM users WHERE timezone IS NULL;

ALTER TABLE {{subject}}_before ADD PRIMARY KEY (id);

COMMENT ON TABLE {{subject}}_before IS 'Rows of users before {{file}}';

-- Change the stored rows, except those that another session has changed since
UPDATE users SET timezone = 'UTC'
FROM {{subject}}_before AS before
WHERE users.id = before.id
  AND users.timezone IS NULL;

COMMIT;
