-- Migration: 20251008_120000_create_assets_table.sql
-- Description: Create assets table for asset lookup with full-text search
-- Author: CryptoSense Database Team

BEGIN;

-- Create table
CREATE TABLE assets (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    coingecko_id VARCHAR(100) UNIQUE NOT NULL,
    symbol VARCHAR(100) NOT NULL,
    name VARCHAR(255) NOT NULL,
    market_cap_rank INT CHECK (market_cap_rank > 0),
    current_price_usd NUMERIC(30, 18) CHECK (current_price_usd >= 0),
    market_cap_usd NUMERIC(20, 2) CHECK (market_cap_usd >= 0),
    volume_24h_usd NUMERIC(20, 2) CHECK (volume_24h_usd >= 0),
    price_updated_at TIMESTAMPTZ,
    image_url TEXT,
    is_active BOOLEAN NOT NULL DEFAULT TRUE,
    search_vector TSVECTOR GENERATED ALWAYS AS (
        setweight(to_tsvector('simple', symbol), 'A') || setweight(to_tsvector('simple', name), 'B')
    ) STORED,
    created_at TIMESTAMPTZ DEFAULT NOW(),
    updated_at TIMESTAMPTZ DEFAULT NOW()
);

-- Create indexes
CREATE INDEX idx_assets_symbol ON assets(symbol);
CREATE INDEX idx_assets_market_cap_rank ON assets(market_cap_rank) WHERE is_active = TRUE;

-- GIN index for full-text search
CREATE INDEX idx_assets_search_vector ON assets USING GIN(search_vector);

-- Create triggers
CREATE TRIGGER update_assets_updated_at BEFORE UPDATE ON assets
FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- Comments
COMMENT ON TABLE assets IS 'Assets that can be looked up, with their market data from CoinGecko';
COMMENT ON COLUMN assets.coingecko_id IS 'CoinGecko''s id, such as bitcoin; unique, which symbols are not';
COMMENT ON COLUMN assets.symbol IS 'In upper case, as asset_symbol in the other tables; several assets can share one';
COMMENT ON COLUMN assets.market_cap_rank IS 'Rank by market capitalization, 1 is the largest; NULL when CoinGecko does not rank it';
COMMENT ON COLUMN assets.current_price_usd IS 'With 18 decimals: meme coins trade below 0.00000001';
COMMENT ON COLUMN assets.price_updated_at IS 'When CoinGecko last updated price, market capitalization and volume';
COMMENT ON COLUMN assets.is_active IS 'Whether the asset is offered in lookups';
COMMENT ON COLUMN assets.search_vector IS 'Generated: full-text search over symbol (weight A) and name (weight B)';

COMMIT;
