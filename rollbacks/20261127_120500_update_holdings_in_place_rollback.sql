-- Rollback: 20261127_120500_update_holdings_in_place_rollback.sql
-- Description: Index the value and the age of holdings again
-- Author: CryptoSense Database Team
-- Transaction: none

CREATE INDEX CONCURRENTLY idx_holdings_last_updated ON holdings(last_updated_at);
CREATE INDEX CONCURRENTLY idx_holdings_current_value ON holdings(current_value_usd DESC);

ALTER TABLE holdings RESET (fillfactor);
