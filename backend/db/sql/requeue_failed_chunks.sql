-- Chunks of a failed job go back to the queue: the failed ones, those that a worker still held when the job failed, and
-- those that a pause kept locked, and so queued, while it failed.
-- They enter the lane anew, in their order: else what fell behind would all be claimed before anybody else's.
-- Race: the rescue takes such a chunk just now. This statement waits for it and finds the chunk failed.
UPDATE video_analysis_chunks c
SET status = 'queued', failures = 0, put_backs = 0, available_at = now(), lease_expires_at = NULL, claimed_by = NULL, on_hold = false,
    claim_rank = :first_rank + waiting.number * :stride,
    error_code = NULL, error_message = NULL
FROM (
    SELECT id, row_number() OVER (ORDER BY claim_rank, id) - 1 AS number
    FROM video_analysis_chunks
    WHERE job_id = :job_id AND status IN ('failed', 'processing', 'queued')
) waiting
WHERE c.id = waiting.id AND c.status IN ('failed', 'processing', 'queued')
  AND EXISTS (SELECT FROM video_analysis_jobs j WHERE j.id = :job_id AND j.status = 'failed')
RETURNING c.deep_mode, c.tenant, c.claim_rank
