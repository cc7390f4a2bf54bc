-- The first of three steps that delete a job: mark the row, delete the objects, delete the row.
-- Race: a failed job is retried just now. Whoever has the row first wins: the retry takes the job out of these states,
-- the mark makes the retry find nothing. So the objects of a job that lives are never deleted.
-- Stopped after any step, the next janitor goes on from there: a mark in the past stays one.
UPDATE video_analysis_jobs j
SET
    -- @scrubbed
    callback_url = NULL,
    callback_due_at = NULL,
    expires_at = now()
FROM (
    SELECT id FROM video_analysis_jobs
    WHERE status IN ('done', 'failed', 'cancelled')
      AND completed_at < now() - make_interval(secs => :retention_seconds)
      AND expires_at IS NULL
    ORDER BY completed_at
    LIMIT :batch
    FOR UPDATE SKIP LOCKED
) old
WHERE j.id = old.id
RETURNING j.id
