-- Rollback: 20261127_120100_index_latest_risk_scores_rollback.sql
-- Description: Drop the index of the latest risk scores
-- Author: CryptoSense Database Team
-- Transaction: none

DROP INDEX CONCURRENTLY idx_risk_scores_asset_calculated;
