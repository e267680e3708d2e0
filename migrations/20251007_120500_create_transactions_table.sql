-- Migration: 20251007_120500_create_transactions_table.sql
-- Description: Create transactions table with the transaction history of portfolios
-- Author: CryptoSense Database Team

BEGIN;

-- Create table
CREATE TABLE transactions (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    portfolio_id UUID NOT NULL,
    exchange_connection_id UUID,
    transaction_type VARCHAR(20) NOT NULL CHECK (transaction_type IN ('buy', 'sell', 'transfer', 'stake', 'unstake', 'reward')),
    asset_symbol VARCHAR(20) NOT NULL,
    quantity NUMERIC(20, 8) NOT NULL,
    price_usd NUMERIC(20, 8),
    fee_usd NUMERIC(20, 8) DEFAULT 0,
    total_usd NUMERIC(20, 2),
    exchange_transaction_id VARCHAR(100),
    notes TEXT,
    transaction_date TIMESTAMPTZ NOT NULL,
    created_at TIMESTAMPTZ DEFAULT NOW(),
    imported_at TIMESTAMPTZ DEFAULT NOW(),

    CONSTRAINT fk_transactions_portfolios FOREIGN KEY (portfolio_id) REFERENCES portfolios(id) ON DELETE CASCADE,
    CONSTRAINT fk_transactions_exchange_connections FOREIGN KEY (exchange_connection_id) REFERENCES exchange_connections(id) ON DELETE SET NULL
);

-- Create indexes
CREATE INDEX idx_transactions_portfolio_id ON transactions(portfolio_id);
CREATE INDEX idx_transactions_asset_symbol ON transactions(asset_symbol);
CREATE INDEX idx_transactions_transaction_date ON transactions(transaction_date DESC);
CREATE INDEX idx_transactions_type ON transactions(transaction_type);

-- Comments
COMMENT ON TABLE transactions IS 'Transaction history of portfolios, for tax tracking (optional feature)';
COMMENT ON COLUMN transactions.exchange_connection_id IS 'The connection that the transaction was imported through, NULL when none or when it is gone';
COMMENT ON COLUMN transactions.exchange_transaction_id IS 'External ID, from the exchange';

COMMIT;
