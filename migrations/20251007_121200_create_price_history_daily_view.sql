-- Migration: 20251007_121200_create_price_history_daily_view.sql
-- Description: Create price_history_daily, the continuous aggregate of prices by day
-- Author: CryptoSense Database Team

BEGIN;

-- Create continuous aggregate for daily averages. Not materialized only: today's row, which no refresh
-- covers yet, is computed when it is read
CREATE MATERIALIZED VIEW price_history_daily
WITH (timescaledb.continuous, timescaledb.materialized_only = FALSE) AS
SELECT
    time_bucket('1 day', time) AS day,
    asset_symbol,
    FIRST(price_usd, time) AS open,
    MAX(price_usd) AS high,
    MIN(price_usd) AS low,
    LAST(price_usd, time) AS close,
    AVG(price_usd) AS avg_price,
    SUM(volume_24h_usd) AS total_volume
FROM price_history
GROUP BY day, asset_symbol
WITH NO DATA;

-- Comments
COMMENT ON VIEW price_history_daily IS 'Daily open, high, low, close and average price of each asset (continuous aggregate of price_history)';
COMMENT ON COLUMN price_history_daily.day IS 'Start of the day in UTC';
COMMENT ON COLUMN price_history_daily.close IS 'Last price of the day; for today, the latest price';
COMMENT ON COLUMN price_history_daily.total_volume IS 'Sum of volume_24h_usd over the prices recorded that day';

COMMIT;
