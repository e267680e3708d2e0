-- Migration: 20251007_120300_create_exchange_connections_table.sql
-- Description: Create exchange_connections table with encrypted API keys
-- Author: CryptoSense Database Team

BEGIN;

-- Create table
CREATE TABLE exchange_connections (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL,
    portfolio_id UUID,
    exchange_name VARCHAR(50) NOT NULL,
    api_key_encrypted TEXT NOT NULL,
    api_secret_encrypted TEXT NOT NULL,
    api_key_last_four VARCHAR(4),
    permissions JSONB,
    is_active BOOLEAN DEFAULT TRUE,
    last_sync_at TIMESTAMPTZ,
    last_sync_status VARCHAR(20) CHECK (last_sync_status IN ('success', 'failed', 'pending')),
    sync_error_message TEXT,
    created_at TIMESTAMPTZ DEFAULT NOW(),
    updated_at TIMESTAMPTZ DEFAULT NOW(),
    deleted_at TIMESTAMPTZ,

    CONSTRAINT fk_exchange_connections_users FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE,
    CONSTRAINT fk_exchange_connections_portfolios FOREIGN KEY (portfolio_id) REFERENCES portfolios(id) ON DELETE SET NULL
);

-- A table constraint takes no WHERE: the rule is a partial unique index
CREATE UNIQUE INDEX unique_exchange_per_user ON exchange_connections(user_id, exchange_name, api_key_last_four)
WHERE deleted_at IS NULL;

-- Create indexes
CREATE INDEX idx_exchange_connections_user_id ON exchange_connections(user_id) WHERE deleted_at IS NULL;
CREATE INDEX idx_exchange_connections_portfolio_id ON exchange_connections(portfolio_id);
CREATE INDEX idx_exchange_connections_is_active ON exchange_connections(is_active);
CREATE INDEX idx_exchange_connections_last_sync ON exchange_connections(last_sync_at);

-- Create triggers
CREATE TRIGGER update_exchange_connections_updated_at BEFORE UPDATE ON exchange_connections
FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- Comments
COMMENT ON TABLE exchange_connections IS 'Connections of users to exchanges, with encrypted API keys';
COMMENT ON COLUMN exchange_connections.exchange_name IS 'Such as binance, coinbase or kraken';
COMMENT ON COLUMN exchange_connections.api_key_encrypted IS 'API key, encrypted; never stored in plain text';
COMMENT ON COLUMN exchange_connections.api_secret_encrypted IS 'API secret, encrypted; never stored in plain text';
COMMENT ON COLUMN exchange_connections.api_key_last_four IS 'Last four characters of the API key, for display';
COMMENT ON COLUMN exchange_connections.permissions IS 'What the key may do, such as {"read": true, "trade": false, "withdraw": false}';
COMMENT ON COLUMN exchange_connections.deleted_at IS 'Soft delete: when the connection was deleted, NULL while it is in use; queries exclude deleted rows';
COMMENT ON INDEX unique_exchange_per_user IS 'A user connects an API key of an exchange once, deleted connections apart';

COMMIT;
