-- A chunk failed for good, and with it its job. The job keeps the first such error.
UPDATE video_analysis_jobs
SET status = 'failed',
    paused_at = NULL,
    error_code = :error_code,
    error_message = :error_message,
    error_retryable = :error_retryable,
    completed_at = now(),
    updated_at = now()
WHERE id = :job_id AND status IN ('queued', 'processing')
