-- Chunks of a failed job go back to the queue: the failed ones, and those that a worker still held when the job failed.
-- Race: the rescue takes such a chunk just now. This statement waits for it and finds the chunk failed.
UPDATE video_analysis_chunks
SET status = 'queued', failures = 0, available_at = now(), lease_expires_at = NULL, claimed_by = NULL,
    error_code = NULL, error_message = NULL
WHERE job_id = :job_id AND status IN ('failed', 'processing')
  AND EXISTS (SELECT FROM video_analysis_jobs j WHERE j.id = :job_id AND j.status = 'failed')
