-- Rollback: {{rollback_file}}
-- Description: Drop index idx_{{subject}}
-- Author: {{author}}
-- Transaction: none

DROP INDEX CONCURRENTLY idx_{{subject}};
