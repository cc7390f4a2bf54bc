-- Extends the lease. No row: the claim is lost, or the job was cancelled or failed meanwhile.
-- Progress only rises, so that a rescued chunk does not make a person's progress bar fall.
UPDATE video_analysis_chunks c
SET lease_expires_at = now() + make_interval(secs => :lease_seconds),
    progress = greatest(c.progress, :progress),
    last_event = coalesce(:last_event, c.last_event)
WHERE c.id = :chunk_id AND c.status = 'processing' AND c.attempts = :attempts
  AND EXISTS (SELECT FROM video_analysis_jobs j WHERE j.id = c.job_id AND j.status IN ('queued', 'processing'))
RETURNING c.id
