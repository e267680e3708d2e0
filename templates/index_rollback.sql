-- Rollback: {{rollback_file}}
-- Description: Drop index {{index}}
-- Author: {{author}}
-- Transaction: none

DROP INDEX CONCURRENTLY {{index}};
