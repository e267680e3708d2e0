-- Migration: 20251007_120200_create_portfolios_table.sql
-- Description: Create portfolios table, the containers of holdings
-- Author: CryptoSense Database Team

BEGIN;

-- Create table
CREATE TABLE portfolios (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL,
    name VARCHAR(100) NOT NULL,
    description TEXT,
    is_primary BOOLEAN DEFAULT FALSE,
    color VARCHAR(7) DEFAULT '#3B82F6',
    created_at TIMESTAMPTZ DEFAULT NOW(),
    updated_at TIMESTAMPTZ DEFAULT NOW(),
    deleted_at TIMESTAMPTZ,

    CONSTRAINT fk_portfolios_users FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE
);

-- A table constraint takes no WHERE: the rule is a partial unique index
CREATE UNIQUE INDEX unique_portfolio_name_per_user ON portfolios(user_id, name) WHERE deleted_at IS NULL;

-- Create indexes
CREATE INDEX idx_portfolios_user_id ON portfolios(user_id) WHERE deleted_at IS NULL;
CREATE INDEX idx_portfolios_is_primary ON portfolios(user_id, is_primary) WHERE is_primary = TRUE;

-- Create triggers
CREATE TRIGGER update_portfolios_updated_at BEFORE UPDATE ON portfolios
FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- Comments
COMMENT ON TABLE portfolios IS 'Portfolio containers created by users';
COMMENT ON COLUMN portfolios.color IS 'Hex color for the UI, such as #3B82F6';
COMMENT ON COLUMN portfolios.deleted_at IS 'Soft delete: when the portfolio was deleted, NULL while it is in use; queries exclude deleted rows';
COMMENT ON INDEX unique_portfolio_name_per_user IS 'The portfolios of a user that are not deleted have different names';

COMMIT;
