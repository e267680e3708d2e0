-- Migration: 20251008_120100_add_holdings_exchange_connection.sql
-- Description: Add the exchange connection that a holding was synced from
-- Author: CryptoSense Database Team

BEGIN;

ALTER TABLE holdings
    ADD COLUMN exchange_connection_id UUID,
    ADD CONSTRAINT fk_holdings_exchange_connections
        FOREIGN KEY (exchange_connection_id) REFERENCES exchange_connections(id) ON DELETE SET NULL;

CREATE INDEX idx_holdings_exchange_connection_id ON holdings(exchange_connection_id);

COMMENT ON COLUMN holdings.exchange_connection_id IS 'The connection that the holding was synced from, NULL when none or when it is gone';

COMMIT;
