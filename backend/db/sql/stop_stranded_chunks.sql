-- Queued chunks of a job that is over. Whoever queued them (a plan, a release, a rescue) saw the job a moment before it was
-- cancelled or failed, and that one did not see them yet: nobody would ever claim them, but they would be counted as waiting.
-- Race: the job is retried just now. Both rows are locked, so its new status is seen; what is locked is left to the next sweep.
UPDATE video_analysis_chunks c
SET status = 'failed',
    error_code = CASE stranded.job_status WHEN 'cancelled' THEN 'job_cancelled' ELSE 'job_failed' END,
    error_message = 'The job was over before this chunk was worked on.'
FROM (
    SELECT c.id, j.status AS job_status
    FROM video_analysis_jobs j
    JOIN video_analysis_chunks c ON c.job_id = j.id
    WHERE j.status IN ('failed', 'cancelled')
      AND j.completed_at > now() - interval '15 minutes'
      AND c.status = 'queued'
    LIMIT 10000
    FOR UPDATE OF c SKIP LOCKED
    FOR SHARE OF j SKIP LOCKED
) stranded
WHERE c.id = stranded.id AND c.status = 'queued'
