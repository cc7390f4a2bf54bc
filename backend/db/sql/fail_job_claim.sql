-- Planning or aggregation ended badly: try again after a pause, or the job is failed for good.
UPDATE video_analysis_jobs j
SET failures = j.failures + 1,
    status = CASE WHEN :permanent OR j.failures + 1 >= :max_attempts THEN 'failed' ELSE j.status END,
    paused_at = CASE WHEN :permanent OR j.failures + 1 >= :max_attempts THEN NULL ELSE j.paused_at END,
    completed_at = CASE WHEN :permanent OR j.failures + 1 >= :max_attempts THEN now() END,
    available_at = now() + make_interval(
        secs => least(:cap_seconds, :base_seconds * power(2, least(j.failures, 30))) * (0.5 + random() / 2)),
    lease_expires_at = NULL,
    claimed_by = NULL,
    error_code = :error_code,
    error_message = :error_message,
    error_retryable = NOT :permanent,
    updated_at = now()
WHERE j.id = :job_id AND j.status = :status AND j.attempts = :attempts AND j.lease_expires_at IS NOT NULL
RETURNING j.status, j.failures
