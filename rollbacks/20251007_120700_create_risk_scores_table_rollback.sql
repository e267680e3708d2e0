-- Rollback: 20251007_120700_create_risk_scores_table_rollback.sql
-- Description: Drop the view latest_risk_scores and risk_scores table
-- Author: CryptoSense Database Team

BEGIN;

DROP VIEW latest_risk_scores;
DROP TABLE risk_scores;

COMMIT;
