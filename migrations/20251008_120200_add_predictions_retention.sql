-- Migration: 20251008_120200_add_predictions_retention.sql
-- Description: Delete predictions that are older than two years, by a daily job
-- Author: CryptoSense Database Team

BEGIN;

-- predictions is a plain table, which a retention policy does not take: the job is our own
CREATE PROCEDURE delete_expired_predictions(job_id INT, config JSONB)
AS $$
DECLARE
    drop_after INTERVAL := config ->> 'drop_after';
BEGIN
    IF drop_after IS NULL OR drop_after <= INTERVAL '0' THEN
        RAISE EXCEPTION 'the config of job % needs drop_after, an interval above zero', job_id
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('config is %s', coalesce(config::TEXT, 'NULL')),
                  HINT = 'Set it with alter_job, such as {"drop_after": "2 years"}.';
    END IF;

    DELETE FROM predictions WHERE prediction_date < NOW() - drop_after;
END;
$$ LANGUAGE plpgsql;

COMMENT ON PROCEDURE delete_expired_predictions(INT, JSONB) IS 'TimescaleDB job: deletes the predictions made longer ago than drop_after in its config';

SELECT add_job('delete_expired_predictions', INTERVAL '1 day', config => '{"drop_after": "2 years"}');

COMMIT;
