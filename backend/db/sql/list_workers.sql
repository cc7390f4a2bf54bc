-- Every worker that spoke within a day, and what it holds right now.
SELECT w.worker_id, w.kind, w.started_at, w.seen_at, w.asked_to_stop_at IS NOT NULL AS is_asked_to_stop, w.trouble, w.encoders,
       extract(epoch FROM now() - w.seen_at) AS silent_seconds,
       coalesce(chunk.job_id, job.id) AS job_id,
       chunk.chunk_index
FROM workers w
LEFT JOIN LATERAL (
    SELECT c.job_id, c.chunk_index
    FROM video_analysis_chunks c
    WHERE c.status = 'processing' AND c.claimed_by = w.worker_id
    ORDER BY c.started_at DESC
    LIMIT 1
) chunk ON true
LEFT JOIN LATERAL (
    SELECT j.id
    FROM video_analysis_jobs j
    WHERE j.status IN ('queued', 'aggregating') AND j.claimed_by = w.worker_id AND j.lease_expires_at IS NOT NULL
    LIMIT 1
) job ON true
ORDER BY w.kind, w.started_at, w.worker_id
LIMIT :limit
