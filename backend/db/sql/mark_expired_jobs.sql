-- The first of three steps that delete a job: mark the row, delete the objects, delete the row.
-- Race: a failed job is retried just now. Whoever has the row first wins: the retry takes the job out of these states,
-- the mark makes the retry find nothing. So the objects of a job that lives are never deleted.
-- A job that others rest on is left until the last of them is gone. Race: such a one is made just now. It holds the row's
-- lock until it is there (lock_source.sql), so here it is either seen, or the row is skipped; where this statement began
-- before, the mark is set, and expired_jobs.sql leaves the job alone.
-- Stopped after any step, the next janitor goes on from there: a mark in the past stays one.
UPDATE video_analysis_jobs j
SET
    -- @scrubbed
    callback_url = NULL,
    callback_due_at = NULL,
    expires_at = now()
FROM (
    SELECT j.id FROM video_analysis_jobs j
    WHERE j.status IN ('done', 'failed', 'cancelled')
      AND j.completed_at < now() - make_interval(secs => :retention_seconds)
      AND j.expires_at IS NULL
      AND
      -- @nobody_rests_on
    ORDER BY j.completed_at
    LIMIT :batch
    FOR UPDATE SKIP LOCKED
) old
WHERE j.id = old.id
RETURNING j.id
