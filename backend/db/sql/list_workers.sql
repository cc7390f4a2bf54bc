-- Every worker that spoke within a day, and what it holds right now.
SELECT w.worker_id, w.kind, w.started_at, w.seen_at, w.asked_to_stop_at IS NOT NULL AS is_asked_to_stop, w.trouble, w.encoders,
       w.machine, w.device,
       extract(epoch FROM now() - w.seen_at) AS silent_seconds,
       coalesce(chunk.job_id, job.id) AS job_id,
       held.input_name AS job_name, held.tenant AS job_tenant,
       chunk.phase, chunk.chunk_index,
       coalesce(chunk.started_at, job.claimed_at) AS working_since
FROM workers w
LEFT JOIN LATERAL (
    SELECT c.job_id, c.phase, c.chunk_index, c.started_at
    FROM video_analysis_chunks c
    WHERE c.status = 'processing' AND c.claimed_by = w.worker_id
    ORDER BY c.started_at DESC
    LIMIT 1
) chunk ON true
LEFT JOIN LATERAL (
    SELECT j.id, j.claimed_at
    FROM video_analysis_jobs j
    WHERE j.status IN ('queued', 'aggregating') AND j.claimed_by = w.worker_id AND j.lease_expires_at IS NOT NULL
    LIMIT 1
) job ON true
LEFT JOIN video_analysis_jobs held ON held.id = coalesce(chunk.job_id, job.id)
ORDER BY w.kind, w.started_at, w.worker_id
LIMIT :limit
