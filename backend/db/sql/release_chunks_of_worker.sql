-- Gives back what a worker holds, whatever it is at. As release_chunk.sql: no failure is counted, the fence stays.
-- Race: it finishes in this very moment. Whoever locks the row first wins; the other's guard finds no row. What the worker
-- writes later finds the chunk queued, or claimed with a higher `attempts`.
UPDATE video_analysis_chunks c
SET status = CASE WHEN j.status IN ('queued', 'processing') THEN 'queued' ELSE 'failed' END,
    available_at = now(), lease_expires_at = NULL, claimed_by = NULL, on_hold = false, last_event = 'chunk_released'
FROM video_analysis_jobs j
WHERE c.status = 'processing' AND c.claimed_by = :worker_id AND j.id = c.job_id
RETURNING c.job_id, c.chunk_index, c.attempts, c.status, c.deep_mode, c.tenant, c.claim_rank
