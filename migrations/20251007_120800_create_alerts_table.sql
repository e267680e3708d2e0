-- Migration: 20251007_120800_create_alerts_table.sql
-- Description: Create alerts table with the alerts that users configure
-- Author: CryptoSense Database Team

BEGIN;

-- Create table
CREATE TABLE alerts (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL,
    alert_type VARCHAR(20) NOT NULL CHECK (alert_type IN ('price', 'risk', 'prediction', 'whale')),
    asset_symbol VARCHAR(20) NOT NULL,
    condition VARCHAR(50) NOT NULL,
    threshold_value NUMERIC(20, 8) NOT NULL,
    notification_channels JSONB DEFAULT '["email"]',
    is_active BOOLEAN DEFAULT TRUE,
    is_recurring BOOLEAN DEFAULT FALSE,
    cooldown_hours INT DEFAULT 24,
    last_triggered_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ DEFAULT NOW(),
    updated_at TIMESTAMPTZ DEFAULT NOW(),

    CONSTRAINT fk_alerts_users FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE
);

-- Create indexes
CREATE INDEX idx_alerts_user_id ON alerts(user_id);
CREATE INDEX idx_alerts_asset_symbol ON alerts(asset_symbol);
CREATE INDEX idx_alerts_is_active ON alerts(is_active) WHERE is_active = TRUE;
CREATE INDEX idx_alerts_last_triggered ON alerts(last_triggered_at);

-- Fast alert checking (active alerts for an asset)
CREATE INDEX idx_alerts_active_asset ON alerts(asset_symbol, is_active)
WHERE is_active = TRUE;

-- Create triggers
CREATE TRIGGER update_alerts_updated_at BEFORE UPDATE ON alerts
FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- Comments
COMMENT ON TABLE alerts IS 'Price and risk alerts configured by users';
COMMENT ON COLUMN alerts.condition IS 'Such as price_above, price_below or risk_above';
COMMENT ON COLUMN alerts.notification_channels IS 'Array of channels: email, push, sms';
COMMENT ON COLUMN alerts.is_recurring IS 'Whether the alert triggers again after its cooldown';

COMMIT;
