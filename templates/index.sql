-- Migration: {{file}}
-- Description: {{description}}
-- Author: {{author}}
-- Transaction: none

-- CONCURRENTLY does not block writes, and cannot run in a transaction. A hypertable refuses it;
-- use CREATE INDEX … WITH (timescaledb.transaction_per_chunk) there
CREATE INDEX CONCURRENTLY {{index}} ON users(country_code);
