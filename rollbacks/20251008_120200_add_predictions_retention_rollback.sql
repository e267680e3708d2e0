-- Rollback: 20251008_120200_add_predictions_retention_rollback.sql
-- Description: Remove the job that deletes old predictions
-- Author: CryptoSense Database Team

BEGIN;

SELECT delete_job(job_id)
FROM timescaledb_information.jobs
WHERE proc_schema = CURRENT_SCHEMA
  AND proc_name = 'delete_expired_predictions';

DROP PROCEDURE delete_expired_predictions(INT, JSONB);

COMMIT;
