-- Migration: 20251007_120600_create_predictions_table.sql
-- Description: Create predictions table with the metadata of AI predictions
-- Author: CryptoSense Database Team

BEGIN;

-- Create table
CREATE TABLE predictions (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    asset_symbol VARCHAR(20) NOT NULL,
    prediction_type VARCHAR(20) NOT NULL CHECK (prediction_type IN ('price', 'trend', 'volatility')),
    timeframe VARCHAR(20) NOT NULL CHECK (timeframe IN ('7d', '14d', '30d')),
    model_version VARCHAR(50) NOT NULL,
    prediction_date TIMESTAMPTZ NOT NULL,
    target_date TIMESTAMPTZ NOT NULL,
    predicted_value NUMERIC(20, 8),
    confidence_score NUMERIC(5, 2) CHECK (confidence_score >= 0 AND confidence_score <= 100),
    direction VARCHAR(10) CHECK (direction IN ('bullish', 'bearish', 'neutral')),
    actual_value NUMERIC(20, 8),
    accuracy_score NUMERIC(5, 2),
    factors JSONB,
    created_at TIMESTAMPTZ DEFAULT NOW(),

    CONSTRAINT unique_prediction UNIQUE (asset_symbol, prediction_type, timeframe, prediction_date)
);

-- Create indexes
CREATE INDEX idx_predictions_asset_symbol ON predictions(asset_symbol);
CREATE INDEX idx_predictions_prediction_date ON predictions(prediction_date DESC);
CREATE INDEX idx_predictions_target_date ON predictions(target_date);
CREATE INDEX idx_predictions_model_version ON predictions(model_version);
CREATE INDEX idx_predictions_accuracy ON predictions(accuracy_score) WHERE accuracy_score IS NOT NULL;

-- GIN index for JSONB factors
CREATE INDEX idx_predictions_factors ON predictions USING GIN(factors);

-- Comments
COMMENT ON TABLE predictions IS 'AI predictions for assets, and how accurate they turned out to be';
COMMENT ON COLUMN predictions.model_version IS 'Model that made the prediction, such as lstm-v1.2.0';
COMMENT ON COLUMN predictions.prediction_date IS 'When the prediction was made';
COMMENT ON COLUMN predictions.target_date IS 'What the prediction is for: prediction_date + timeframe';
COMMENT ON COLUMN predictions.predicted_value IS 'Predicted price or value';
COMMENT ON COLUMN predictions.confidence_score IS 'Percentage, 0 to 100';
COMMENT ON COLUMN predictions.actual_value IS 'Filled in after target_date';
COMMENT ON COLUMN predictions.accuracy_score IS 'How accurate the prediction was, calculated after target_date';
COMMENT ON COLUMN predictions.factors IS 'What the prediction rests on, such as {"rsi": 65, "macd": 0.02, "volume_trend": "increasing"}';

COMMIT;
