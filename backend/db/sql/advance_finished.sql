-- The sweep behind advance_job.sql: jobs whose chunks are all completed and that nobody handed to the aggregator.
-- Completed chunks stay completed, so what this statement sees cannot be undone; the guard on the status counts it once.
UPDATE video_analysis_jobs j
SET completed_chunks = j.total_chunks,
    status = 'aggregating',
    stage = 'AGGREGATING',
    available_at = now(),
    lease_expires_at = NULL,
    claimed_by = NULL,
    updated_at = now()
WHERE j.id IN (
    SELECT p.id FROM video_analysis_jobs p
    WHERE p.status IN ('queued', 'processing') AND p.status <> 'queued' -- as the index says it
      AND (SELECT c.id FROM video_analysis_chunks c WHERE c.job_id = p.id AND c.status <> 'completed'
           ORDER BY c.chunk_index DESC LIMIT 1) IS NULL
      AND p.total_chunks = (SELECT count(*) FROM video_analysis_chunks c WHERE c.job_id = p.id AND c.status = 'completed')
    FOR UPDATE SKIP LOCKED
)
RETURNING j.id AS job_id
