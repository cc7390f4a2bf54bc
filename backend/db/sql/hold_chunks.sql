-- Takes a paused job's waiting chunks out of the claim's index. The caller holds the job's lock (pause_job.sql).
-- SKIP LOCKED: a chunk that is being claimed right now is in work. One that goes back to the queue later is not on hold,
-- but the claim looks at the job's pause too.
UPDATE video_analysis_chunks
SET on_hold = true
WHERE id IN (
    SELECT id FROM video_analysis_chunks
    WHERE job_id = :job_id AND status <> 'completed' AND status = 'queued' AND NOT on_hold
    FOR UPDATE SKIP LOCKED
)
