-- Migration: 20251007_120900_create_alert_history_table.sql
-- Description: Create alert_history table with the alerts that were triggered and sent
-- Author: CryptoSense Database Team

BEGIN;

-- Create table
CREATE TABLE alert_history (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    alert_id UUID NOT NULL,
    triggered_at TIMESTAMPTZ DEFAULT NOW(),
    trigger_value NUMERIC(20, 8),
    notification_status VARCHAR(20) CHECK (notification_status IN ('sent', 'failed', 'pending')),
    notification_channel VARCHAR(20),
    error_message TEXT,

    CONSTRAINT fk_alert_history_alerts FOREIGN KEY (alert_id) REFERENCES alerts(id) ON DELETE CASCADE
);

-- Create indexes
CREATE INDEX idx_alert_history_alert_id ON alert_history(alert_id);
CREATE INDEX idx_alert_history_triggered_at ON alert_history(triggered_at DESC);

-- Comments
COMMENT ON TABLE alert_history IS 'When alerts were triggered and sent';
COMMENT ON COLUMN alert_history.trigger_value IS 'Actual value that triggered the alert';

COMMIT;
