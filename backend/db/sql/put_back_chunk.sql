-- The worker's surroundings failed (its store, its disk), not the chunk: back to the queue, and no failure is counted.
-- The pause keeps it from bouncing between workers that suffer alike; it doubles up to its cap. So much bad luck that no
-- outage explains it is the chunk's own: then it fails. Guarded like the finish.
UPDATE video_analysis_chunks c
SET put_backs = c.put_backs + 1,
    status = CASE
        WHEN c.put_backs + 1 >= :max_put_backs OR j.status NOT IN ('queued', 'processing') THEN 'failed'
        ELSE 'queued' END,
    available_at = now() + make_interval(
        secs => least(:cap_seconds, :base_seconds * power(2, least(c.put_backs, 30))) * (0.5 + random() / 2)),
    lease_expires_at = NULL,
    claimed_by = NULL,
    on_hold = false,
    last_event = 'chunk_put_back',
    error_code = :error_code,
    error_message = :error_message
FROM video_analysis_jobs j
WHERE c.id = :chunk_id AND c.status = 'processing' AND c.attempts = :attempts AND j.id = c.job_id
RETURNING c.job_id, c.chunk_index, c.status, c.deep_mode, c.tenant, c.claim_rank
