-- Gives back what a remote worker holds: all of a revoked one's (:holder is its name's beginning, as in remote-3/), or what
-- one process was given and never heard of, because the answer was lost on the way (:held are the claims it knows of).
-- As release_chunks_of_worker.sql: no failure is counted, the fence stays, and what it writes later finds no row.
UPDATE video_analysis_chunks c
SET status = CASE WHEN j.status IN ('queued', 'processing') THEN 'queued' ELSE 'failed' END,
    available_at = now(), lease_expires_at = NULL, claimed_by = NULL, on_hold = false, last_event = 'chunk_released'
FROM video_analysis_jobs j
WHERE c.status = 'processing' AND starts_with(c.claimed_by || '/', :holder) AND j.id = c.job_id
  AND c.id || '.' || c.attempts <> ALL (CAST(:held AS text[]))
RETURNING c.job_id, c.chunk_index, c.attempts, c.status, c.deep_mode, c.tenant, c.claim_rank
