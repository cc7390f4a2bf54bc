-- Planning or aggregation ended badly: try again after a pause, or the job is failed for good. The row is locked before
-- it is judged, so that what it failed with before is what is compared.
WITH verdict AS (
    SELECT id, :permanent OR failures + 1 >= :max_attempts
        OR (:final_when_repeated AND failures > 0 AND error_code IS NOT DISTINCT FROM :error_code) AS is_final
    FROM video_analysis_jobs
    WHERE id = :job_id
    FOR UPDATE
)
UPDATE video_analysis_jobs j
SET failures = j.failures + 1,
    status = CASE WHEN verdict.is_final THEN 'failed' ELSE j.status END,
    paused_at = CASE WHEN NOT verdict.is_final THEN j.paused_at END,
    completed_at = CASE WHEN verdict.is_final THEN now() END,
    available_at = now() + make_interval(
        secs => least(:cap_seconds, :base_seconds * power(2, least(j.failures, 30))) * (0.5 + random() / 2)),
    lease_expires_at = NULL,
    claimed_by = NULL,
    error_code = :error_code,
    error_message = :error_message,
    error_retryable = NOT :permanent,
    updated_at = now()
FROM verdict
WHERE j.id = verdict.id AND j.status = :status AND j.attempts = :attempts AND j.lease_expires_at IS NOT NULL
RETURNING j.status, j.failures
