-- Rollback: 20261127_120000_index_foreign_keys_rollback.sql
-- Description: Drop the indexes of the foreign keys, and create the partial ones again
-- Author: CryptoSense Database Team
-- Transaction: none

CREATE INDEX CONCURRENTLY idx_exchange_connections_user_id_partial ON exchange_connections(user_id)
WHERE deleted_at IS NULL;
DROP INDEX CONCURRENTLY idx_exchange_connections_user_id;
ALTER INDEX idx_exchange_connections_user_id_partial RENAME TO idx_exchange_connections_user_id;

CREATE INDEX CONCURRENTLY idx_portfolios_user_id_partial ON portfolios(user_id) WHERE deleted_at IS NULL;
DROP INDEX CONCURRENTLY idx_portfolios_user_id;
ALTER INDEX idx_portfolios_user_id_partial RENAME TO idx_portfolios_user_id;

DROP INDEX CONCURRENTLY idx_transactions_exchange_connection_id;
