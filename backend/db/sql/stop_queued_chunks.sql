-- The job is over: what nobody has claimed yet is not claimed any more.
-- SKIP LOCKED: a chunk that is being claimed right now is left to that worker, whose first heartbeat finds the job over.
-- Waiting for it here could deadlock with the claim, which wants the job's row next.
UPDATE video_analysis_chunks
SET status = 'failed', error_code = :error_code, error_message = :error_message
WHERE id IN (
    SELECT id FROM video_analysis_chunks WHERE job_id = :job_id AND status = 'queued' FOR UPDATE SKIP LOCKED
)
