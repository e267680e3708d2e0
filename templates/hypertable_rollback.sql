-- Rollback: {{rollback_file}}
-- Description: Drop {{subject}} hypertable with its policies
-- Author: {{author}}

BEGIN;

DROP TABLE {{subject}};

COMMIT;
