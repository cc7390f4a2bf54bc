-- A step that took up all chunks of a phase is done, and the next phase begins: its chunks follow in the same transaction.
-- Guarded: a stale worker begins nothing.
UPDATE video_analysis_jobs
SET status = 'processing',
    stage = CAST(:plan AS jsonb) ->> 'stage',
    phase = :phase,
    phase_plan = CAST(:plan AS jsonb),
    total_chunks = total_chunks + :chunks,
    progress = 0,
    failures = 0,
    put_backs = 0,
    timings = timings || CAST(:timings AS jsonb),
    warnings = warnings || CAST(:warnings AS jsonb),
    error_code = NULL,
    error_message = NULL,
    error_retryable = NULL,
    lease_expires_at = NULL,
    claimed_by = NULL,
    updated_at = now()
WHERE id = :job_id AND status = 'aggregating' AND attempts = :attempts AND lease_expires_at IS NOT NULL
RETURNING paused_at IS NOT NULL AS is_paused
