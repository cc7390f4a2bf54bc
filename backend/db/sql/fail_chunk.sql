-- One try ended badly: back to the queue after a pause, or failed for good. Guarded like the finish.
-- The pause doubles with each failure, is capped, and is spread by half so that a broken store is not met by a herd.
UPDATE video_analysis_chunks c
SET failures = c.failures + 1,
    status = CASE
        WHEN :permanent OR c.failures + 1 >= :max_attempts
            OR (:final_when_repeated AND c.failures > 0 AND c.error_code IS NOT DISTINCT FROM :error_code)
            OR j.status NOT IN ('queued', 'processing') THEN 'failed'
        ELSE 'queued' END,
    available_at = now() + make_interval(
        secs => least(:cap_seconds, :base_seconds * power(2, least(c.failures, 30))) * (0.5 + random() / 2)),
    lease_expires_at = NULL,
    failed_by = c.claimed_by,
    claimed_by = NULL,
    on_hold = false,
    last_event = 'chunk_failed',
    error_code = :error_code,
    error_message = :error_message
FROM video_analysis_jobs j
WHERE c.id = :chunk_id AND c.status = 'processing' AND c.attempts = :attempts AND j.id = c.job_id
RETURNING c.job_id, c.chunk_index, c.status, c.failures, c.deep_mode, c.tenant, c.claim_rank
