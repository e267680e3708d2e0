-- Migration: 20251007_120700_create_risk_scores_table.sql
-- Description: Create risk_scores table and the view latest_risk_scores
-- Author: CryptoSense Database Team

BEGIN;

-- Create table
CREATE TABLE risk_scores (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    asset_symbol VARCHAR(20) NOT NULL,
    risk_score NUMERIC(5, 2) NOT NULL CHECK (risk_score >= 0 AND risk_score <= 100),
    risk_level VARCHAR(20) CHECK (risk_level IN ('low', 'medium', 'high', 'extreme')),
    volatility_score NUMERIC(5, 2),
    liquidity_score NUMERIC(5, 2),
    social_sentiment_score NUMERIC(5, 2),
    on_chain_score NUMERIC(5, 2),
    audit_status VARCHAR(50),
    team_status VARCHAR(50),
    exchange_listings_count INT,
    factors JSONB,
    calculated_at TIMESTAMPTZ NOT NULL,
    created_at TIMESTAMPTZ DEFAULT NOW()
);

-- A constraint takes no expression, and the date of a TIMESTAMPTZ depends on the session's time zone:
-- the rule is a unique index on the UTC day
CREATE UNIQUE INDEX unique_risk_score_per_day ON risk_scores(asset_symbol, ((calculated_at AT TIME ZONE 'UTC')::DATE));

-- Create indexes
CREATE INDEX idx_risk_scores_asset_symbol ON risk_scores(asset_symbol);
CREATE INDEX idx_risk_scores_calculated_at ON risk_scores(calculated_at DESC);
CREATE INDEX idx_risk_scores_risk_level ON risk_scores(risk_level);
CREATE INDEX idx_risk_scores_score ON risk_scores(risk_score);

-- Latest risk score view
CREATE VIEW latest_risk_scores AS
SELECT DISTINCT ON (asset_symbol) *
FROM risk_scores
ORDER BY asset_symbol, calculated_at DESC;

-- Comments
COMMENT ON TABLE risk_scores IS 'Degen risk scores for assets';
COMMENT ON COLUMN risk_scores.risk_score IS '0 to 100, the higher the riskier';
COMMENT ON COLUMN risk_scores.audit_status IS 'Such as audited, unaudited or known_issues';
COMMENT ON COLUMN risk_scores.team_status IS 'Such as doxxed, anonymous or partial';
COMMENT ON COLUMN risk_scores.factors IS 'Detailed breakdown of the risk factors';
COMMENT ON INDEX unique_risk_score_per_day IS 'An asset has at most one risk score a UTC day';
COMMENT ON VIEW latest_risk_scores IS 'The latest risk score of each asset';

COMMIT;
