-- Rollback: {{rollback_file}}
-- Description: Undo: {{description}}
-- Author: {{author}}

BEGIN;

DROP TABLE {{subject}}_examples;

COMMIT;
