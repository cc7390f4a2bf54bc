-- The output is in place. Guarded: a stale aggregator changes nothing.
UPDATE video_analysis_jobs
SET status = 'done',
    stage = 'DONE',
    progress = 1,
    paused_at = NULL,
    output_uri = :output_uri,
    output_key = :output_key,
    output_size = :output_size,
    -- @scrubbed
    encoder = :encoder,
    timings = timings || CAST(:timings AS jsonb),
    warnings = warnings || CAST(:warnings AS jsonb),
    completed_at = now(),
    lease_expires_at = NULL,
    error_code = NULL,
    error_message = NULL,
    error_retryable = NULL,
    updated_at = now()
WHERE id = :job_id AND status = 'aggregating' AND attempts = :attempts AND lease_expires_at IS NOT NULL
RETURNING id
