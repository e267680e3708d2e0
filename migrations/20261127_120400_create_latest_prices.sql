-- Migration: 20261127_120400_create_latest_prices.sql
-- Description: Create latest_prices(symbols), the latest price of each asset in any time zone
-- Author: CryptoSense Database Team

BEGIN;

-- PL/pgSQL: the planner would write a function in SQL into the calling query, where TimescaleDB plans every
-- chunk of price_history. Here it plans the chunks of a day, once in a session. Intervals are in hours, because
-- the length of a day depends on the session's time zone
CREATE FUNCTION latest_prices(symbols TEXT[])
RETURNS TABLE (
    asset_symbol VARCHAR(20),
    "time" TIMESTAMPTZ,
    price_usd NUMERIC(20, 8),
    market_cap_usd NUMERIC(20, 2),
    volume_24h_usd NUMERIC(20, 2),
    data_source VARCHAR(50)
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
ROWS 50
SET search_path = ''
AS $$
#variable_conflict use_column
DECLARE
    wanted VARCHAR[] := ARRAY(SELECT DISTINCT symbol FROM unnest(symbols) AS symbol WHERE symbol IS NOT NULL);
    found_recently BIGINT;
BEGIN
    RETURN QUERY
    SELECT asked.symbol, recent.time, recent.price_usd, recent.market_cap_usd, recent.volume_24h_usd,
        recent.data_source
    FROM unnest(wanted) AS asked (symbol)
    CROSS JOIN LATERAL (
        SELECT p.time, p.price_usd, p.market_cap_usd, p.volume_24h_usd, p.data_source
        FROM public.price_history AS p
        WHERE p.asset_symbol = asked.symbol AND p.time > now() - INTERVAL '24 hours' AND p.time <= now()
        ORDER BY p.time DESC
        LIMIT 1
    ) AS recent;

    GET DIAGNOSTICS found_recently = ROW_COUNT;
    IF found_recently = cardinality(wanted) THEN
        RETURN;
    END IF;

    -- Without a price of the last 24 hours, the candle of today has only prices of the future
    RETURN QUERY
    SELECT asked.symbol, earlier.day, earlier.close, NULL::NUMERIC, NULL::NUMERIC, NULL::VARCHAR
    FROM unnest(wanted) AS asked (symbol)
    CROSS JOIN LATERAL (
        SELECT d.day, d.close
        FROM public.price_history_daily AS d
        WHERE d.asset_symbol = asked.symbol
            AND d.day > now() - INTERVAL '720 hours' AND d.day <= now() - INTERVAL '24 hours'
        ORDER BY d.day DESC
        LIMIT 1
    ) AS earlier
    WHERE NOT EXISTS (
        SELECT FROM public.price_history AS p
        WHERE p.asset_symbol = asked.symbol AND p.time > now() - INTERVAL '24 hours' AND p.time <= now()
    );
END;
$$;

COMMENT ON FUNCTION latest_prices(TEXT[]) IS 'The latest price of each asset that has one in the last 24 hours, else its latest daily close of the last 30 days: time is then the start of the UTC day of the close, and market_cap_usd, volume_24h_usd and data_source are NULL';

COMMIT;
