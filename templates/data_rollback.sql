-- Rollback: {{rollback_file}}
-- Description: Put back what was changed: {{description}}
-- Author: {{author}}

BEGIN;

-- Rows that were changed again since are left as they are
UPDATE users SET timezone = before.timezone
FROM {{subject}}_before AS before
WHERE users.id = before.id
  AND users.timezone = 'UTC';

DROP TABLE {{subject}}_before;

COMMIT;
