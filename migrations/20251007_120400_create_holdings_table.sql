-- Migration: 20251007_120400_create_holdings_table.sql
-- Description: Create holdings table with the current balances of portfolios
-- Author: CryptoSense Database Team

BEGIN;

-- Create table
CREATE TABLE holdings (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    portfolio_id UUID NOT NULL,
    asset_symbol VARCHAR(20) NOT NULL,
    asset_name VARCHAR(100),
    quantity NUMERIC(20, 8) NOT NULL CHECK (quantity >= 0),
    average_buy_price NUMERIC(20, 8),
    current_price NUMERIC(20, 8),
    current_value_usd NUMERIC(20, 2) GENERATED ALWAYS AS (quantity * current_price) STORED,
    price_change_24h NUMERIC(10, 2),
    price_change_7d NUMERIC(10, 2),
    exchange_source VARCHAR(50),
    wallet_address VARCHAR(100),
    last_updated_at TIMESTAMPTZ DEFAULT NOW(),
    created_at TIMESTAMPTZ DEFAULT NOW(),

    CONSTRAINT fk_holdings_portfolios FOREIGN KEY (portfolio_id) REFERENCES portfolios(id) ON DELETE CASCADE,
    -- exchange_source and wallet_address are usually NULL: two NULLs count as the same
    CONSTRAINT unique_holding_per_portfolio
        UNIQUE NULLS NOT DISTINCT (portfolio_id, asset_symbol, exchange_source, wallet_address)
);

-- Create indexes
CREATE INDEX idx_holdings_portfolio_id ON holdings(portfolio_id);
CREATE INDEX idx_holdings_asset_symbol ON holdings(asset_symbol);
CREATE INDEX idx_holdings_exchange_source ON holdings(exchange_source);
CREATE INDEX idx_holdings_current_value ON holdings(current_value_usd DESC);
CREATE INDEX idx_holdings_last_updated ON holdings(last_updated_at);

-- Fast portfolio + holdings lookup
CREATE INDEX idx_holdings_portfolio_asset ON holdings(portfolio_id, asset_symbol);

-- Comments
COMMENT ON TABLE holdings IS 'Current holdings (balances) of portfolios';
COMMENT ON COLUMN holdings.asset_symbol IS 'Such as BTC, ETH or USDT';
COMMENT ON COLUMN holdings.asset_name IS 'Such as Bitcoin or Ethereum';
COMMENT ON COLUMN holdings.average_buy_price IS 'The user''s average purchase price in USD, NULL when not available';
COMMENT ON COLUMN holdings.current_price IS 'Latest price in USD, cached from price_history';
COMMENT ON COLUMN holdings.current_value_usd IS 'Generated: quantity * current_price';
COMMENT ON COLUMN holdings.price_change_24h IS 'Percentage over the last 24 hours';
COMMENT ON COLUMN holdings.price_change_7d IS 'Percentage over the last 7 days';
COMMENT ON COLUMN holdings.exchange_source IS 'Where the balance comes from: an exchange such as binance, manual or wallet';
COMMENT ON COLUMN holdings.wallet_address IS 'Address of the blockchain wallet, NULL when the balance is not from one';
COMMENT ON CONSTRAINT unique_holding_per_portfolio ON holdings IS 'A portfolio has one row for an asset, source and wallet; two NULLs count as the same';

COMMIT;
