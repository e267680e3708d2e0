-- Migration: 20261127_120500_update_holdings_in_place.sql
-- Description: Let a new price of a holding stay on its page, without new index entries
-- Author: CryptoSense Database Team
-- Transaction: none

-- PostgreSQL writes a new version of a row without index entries (a HOT update) when no index has a changed
-- column and the page has room. Room is left on pages that are written from now on
ALTER TABLE holdings SET (fillfactor = 85);

-- Each new price changes both columns. No query of the specification reads these indexes
DROP INDEX CONCURRENTLY idx_holdings_current_value;
DROP INDEX CONCURRENTLY idx_holdings_last_updated;
