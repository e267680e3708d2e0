-- Migration: 20261127_120100_index_latest_risk_scores.sql
-- Description: Index risk scores in the order in which latest_risk_scores reads them
-- Author: CryptoSense Database Team
-- Transaction: none

CREATE INDEX CONCURRENTLY idx_risk_scores_asset_calculated ON risk_scores(asset_symbol, calculated_at DESC);
