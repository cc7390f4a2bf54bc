-- Claims the next chunk for one worker and commits before any work begins.
-- Race: many workers ask at once. SKIP LOCKED gives each another row; the raised `attempts` fences off whoever held the
-- row before. A cancel that commits in between leaves the job out of 'processing', which the first heartbeat notices.
WITH candidate AS (
    SELECT c.id
    FROM video_analysis_chunks c
    JOIN video_analysis_jobs j ON j.id = c.job_id
    WHERE c.status = 'queued'
      AND c.available_at <= now()
      AND j.status IN ('queued', 'processing')
      AND j.deep_mode = :deep_mode
      AND (CAST(:job_id AS uuid) IS NULL OR c.job_id = CAST(:job_id AS uuid))
    ORDER BY c.priority DESC, c.chunk_index, c.created_at, c.id
    LIMIT 1
    FOR UPDATE OF c SKIP LOCKED
), claimed AS (
    UPDATE video_analysis_chunks c
    SET status = 'processing',
        attempts = c.attempts + 1,
        claimed_by = :worker_id,
        lease_expires_at = now() + make_interval(secs => :lease_seconds),
        started_at = now()
    FROM candidate
    WHERE c.id = candidate.id
    RETURNING c.*
), begun AS (
    UPDATE video_analysis_jobs j
    SET status = 'processing', stage = 'PROCESSING', started_at = coalesce(j.started_at, now()), updated_at = now()
    FROM claimed
    WHERE j.id = claimed.job_id AND j.status = 'queued'
)
SELECT claimed.id AS chunk_id, claimed.job_id, claimed.attempts, claimed.chunk_index, claimed.start_pts, claimed.end_pts,
       claimed.failures, j.total_chunks, j.kind, j.params, j.input_uri, j.source_etag, j.source_size, j.probe
FROM claimed
JOIN video_analysis_jobs j ON j.id = claimed.job_id
