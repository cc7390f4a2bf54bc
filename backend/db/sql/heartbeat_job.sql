-- Extends the lease on a job. No row: the claim is lost or the job was cancelled.
UPDATE video_analysis_jobs
SET lease_expires_at = now() + make_interval(secs => :lease_seconds),
    progress = greatest(progress, :progress),
    stage = coalesce(:stage, stage),
    updated_at = now()
WHERE id = :job_id AND status = :status AND attempts = :attempts AND lease_expires_at IS NOT NULL
RETURNING id
