-- A draining worker gives its chunk back: no failure is counted, the fence stays where it is.
-- A chunk whose job is over does not go back to the queue.
UPDATE video_analysis_chunks c
SET status = CASE WHEN j.status IN ('queued', 'processing') THEN 'queued' ELSE 'failed' END,
    available_at = now(), lease_expires_at = NULL, claimed_by = NULL, on_hold = false, last_event = 'chunk_released'
FROM video_analysis_jobs j
WHERE c.id = :chunk_id AND c.status = 'processing' AND c.attempts = :attempts AND j.id = c.job_id
RETURNING c.status, c.deep_mode, c.tenant, c.claim_rank
