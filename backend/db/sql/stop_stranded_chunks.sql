-- Queued chunks of a job that is over. Whoever queued them (a plan, a release, a rescue) saw the job a moment before it was
-- cancelled or failed, and that one did not see them yet: nobody would ever claim them, but they would be counted as waiting.
-- Race: the job is retried just now. Both rows are locked, so its new status is seen; what is locked is left to the next sweep.
-- First the jobs, then their chunks by index (OFFSET 0 keeps that order; the coalesce keeps the planner from the index of all
-- unfinished chunks): with statistics of an hour ago it walked the whole queue.
WITH seen AS MATERIALIZED (
    SELECT j.id AS job_id, c.id AS chunk_id
    FROM video_analysis_jobs j
    CROSS JOIN LATERAL (
        SELECT id FROM video_analysis_chunks
        WHERE job_id = j.id AND status <> 'completed' AND status = 'queued'
        OFFSET 0
    ) c
    WHERE j.status IN ('done', 'failed', 'cancelled') AND j.status <> 'done' -- as the index says it
      AND j.completed_at > now() - interval '15 minutes'
    LIMIT 10000
), stranded AS MATERIALIZED (
    SELECT c.id, j.status AS job_status
    FROM seen
    JOIN video_analysis_jobs j ON j.id = seen.job_id
    JOIN video_analysis_chunks c ON c.id = seen.chunk_id
    WHERE j.status IN ('failed', 'cancelled') AND coalesce(c.status, '') = 'queued'
    FOR UPDATE OF c SKIP LOCKED
    FOR SHARE OF j SKIP LOCKED
)
UPDATE video_analysis_chunks c
SET status = 'failed',
    error_code = CASE stranded.job_status WHEN 'cancelled' THEN 'job_cancelled' ELSE 'job_failed' END,
    error_message = 'The job was over before this chunk was worked on.'
FROM stranded
WHERE c.id = stranded.id
