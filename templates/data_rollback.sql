-- Rollback: {{rollback_file}}
-- Description: Restore the rows that changed: {{description}}
-- Author: {{author}}

BEGIN;

-- Rows that were changed again after the migration keep their values
UPDATE users SET timezone = before.timezone
FROM {{subject}}_before AS before
WHERE users.id = before.id
  AND users.timezone = 'UTC';

DROP TABLE {{subject}}_before;

COMMIT;
