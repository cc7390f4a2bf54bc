-- Takes planning and aggregation back from processes that died.
UPDATE video_analysis_jobs j
SET failures = j.failures + 1,
    status = CASE WHEN j.failures + 1 >= :max_attempts THEN 'failed' ELSE j.status END,
    paused_at = CASE WHEN j.failures + 1 >= :max_attempts THEN NULL ELSE j.paused_at END,
    completed_at = CASE WHEN j.failures + 1 >= :max_attempts THEN now() END,
    available_at = now() + make_interval(
        secs => least(:cap_seconds, :base_seconds * power(2, least(j.failures, 30))) * (0.5 + random() / 2)),
    lease_expires_at = NULL,
    claimed_by = NULL,
    error_code = 'worker_lost',
    error_message = format('Worker %s stopped without a word (attempt %s).', j.claimed_by, j.attempts),
    error_retryable = true,
    updated_at = now()
FROM (
    SELECT id FROM video_analysis_jobs
    WHERE status IN ('queued', 'aggregating') AND lease_expires_at < now()
    FOR UPDATE SKIP LOCKED
) expired
WHERE j.id = expired.id
RETURNING j.id AS job_id, j.status, j.attempts, j.failures
