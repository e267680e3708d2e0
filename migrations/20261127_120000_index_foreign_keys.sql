-- Migration: 20261127_120000_index_foreign_keys.sql
-- Description: Index the foreign keys that no whole index covers
-- Author: CryptoSense Database Team
-- Transaction: none

-- Deleting a row searches each table that references it. Without an index the search reads the whole table,
-- for each deleted row. It cannot use an index WHERE deleted_at IS NULL
CREATE INDEX CONCURRENTLY idx_transactions_exchange_connection_id ON transactions(exchange_connection_id)
WHERE exchange_connection_id IS NOT NULL;

-- The whole index takes the place and the name of the partial one
CREATE INDEX CONCURRENTLY idx_portfolios_user_id_whole ON portfolios(user_id);
DROP INDEX CONCURRENTLY idx_portfolios_user_id;
ALTER INDEX idx_portfolios_user_id_whole RENAME TO idx_portfolios_user_id;

CREATE INDEX CONCURRENTLY idx_exchange_connections_user_id_whole ON exchange_connections(user_id);
DROP INDEX CONCURRENTLY idx_exchange_connections_user_id;
ALTER INDEX idx_exchange_connections_user_id_whole RENAME TO idx_exchange_connections_user_id;
