-- Migration: {{file}}
-- Description: {{description}}
-- Author: {{author}}
-- Transaction: none

-- CONCURRENTLY lets writes go on, and takes no transaction. On a hypertable it is refused: there
-- write CREATE INDEX … WITH (timescaledb.transaction_per_chunk)
CREATE INDEX CONCURRENTLY idx_{{subject}} ON users(country_code);
