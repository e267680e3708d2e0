-- Migration: 20251007_120100_create_subscriptions_table.sql
-- Description: Create subscriptions table with tiers and Stripe billing
-- Author: CryptoSense Database Team

BEGIN;

-- Create table
CREATE TABLE subscriptions (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL,
    tier VARCHAR(20) NOT NULL CHECK (tier IN ('free', 'plus', 'pro', 'power-trader')),
    status VARCHAR(20) DEFAULT 'active' CHECK (status IN ('active', 'canceled', 'past_due', 'trialing')),
    stripe_customer_id VARCHAR(100) UNIQUE,
    stripe_subscription_id VARCHAR(100) UNIQUE,
    stripe_price_id VARCHAR(100),
    billing_interval VARCHAR(20) CHECK (billing_interval IN ('monthly', 'yearly')),
    current_period_start TIMESTAMPTZ,
    current_period_end TIMESTAMPTZ,
    cancel_at_period_end BOOLEAN DEFAULT FALSE,
    trial_start TIMESTAMPTZ,
    trial_end TIMESTAMPTZ,
    created_at TIMESTAMPTZ DEFAULT NOW(),
    updated_at TIMESTAMPTZ DEFAULT NOW(),
    canceled_at TIMESTAMPTZ,

    CONSTRAINT fk_subscriptions_users FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE
);

-- A table constraint takes no WHERE: the rule is a partial unique index
CREATE UNIQUE INDEX one_active_subscription_per_user ON subscriptions(user_id) WHERE status = 'active';

-- Create indexes
CREATE INDEX idx_subscriptions_user_id ON subscriptions(user_id);
CREATE INDEX idx_subscriptions_status ON subscriptions(status);
CREATE INDEX idx_subscriptions_stripe_customer_id ON subscriptions(stripe_customer_id);
CREATE INDEX idx_subscriptions_current_period_end ON subscriptions(current_period_end);

-- Fast user subscription lookup
CREATE INDEX idx_subscriptions_user_status ON subscriptions(user_id, status)
WHERE status = 'active';

-- Create triggers
CREATE TRIGGER update_subscriptions_updated_at BEFORE UPDATE ON subscriptions
FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- Comments
COMMENT ON TABLE subscriptions IS 'Subscription tiers and billing of users';
COMMENT ON INDEX one_active_subscription_per_user IS 'A user has at most one active subscription';

COMMIT;
