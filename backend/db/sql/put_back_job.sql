-- As put_back_chunk.sql, for planning and aggregation. `schema_version`: what a worker must know to go on with the job, where
-- this one turned out to know too little.
UPDATE video_analysis_jobs j
SET put_backs = j.put_backs + 1,
    status = CASE WHEN j.put_backs + 1 >= :max_put_backs THEN 'failed' ELSE j.status END,
    paused_at = CASE WHEN j.put_backs + 1 >= :max_put_backs THEN NULL ELSE j.paused_at END,
    completed_at = CASE WHEN j.put_backs + 1 >= :max_put_backs THEN now() END,
    available_at = now() + make_interval(
        secs => least(:cap_seconds, :base_seconds * power(2, least(j.put_backs, 30))) * (0.5 + random() / 2)),
    schema_version = greatest(j.schema_version, :schema_version),
    lease_expires_at = NULL,
    claimed_by = NULL,
    error_code = :error_code,
    error_message = :error_message,
    error_retryable = true,
    updated_at = now()
WHERE j.id = :job_id AND j.status = :status AND j.attempts = :attempts AND j.lease_expires_at IS NOT NULL
RETURNING j.status
