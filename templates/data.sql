-- Migration: {{file}}
-- Description: {{description}}
-- Author: {{author}}

BEGIN;

-- Keep what is changed, so that the rollback can put it back; drop this table in a later migration
CREATE TABLE {{subject}}_before AS
SELECT id, timezone FROM users WHERE timezone IS NULL;

ALTER TABLE {{subject}}_before ADD PRIMARY KEY (id);

COMMENT ON TABLE {{subject}}_before IS 'Rows of users as they were before {{file}}';

-- Change the rows that are kept, unless someone has changed them meanwhile
UPDATE users SET timezone = 'UTC'
FROM {{subject}}_before AS before
WHERE users.id = before.id
  AND users.timezone IS NULL;

COMMIT;
