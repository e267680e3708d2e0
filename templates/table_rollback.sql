-- Rollback: {{rollback_file}}
-- Description: Drop {{subject}} table
-- Author: {{author}}

BEGIN;

DROP TABLE {{subject}};

COMMIT;
