UPDATE video_analysis_jobs
SET status = 'cancelled',
    paused_at = NULL,
    -- @scrubbed
    completed_at = now(),
    lease_expires_at = NULL,
    claimed_by = NULL,
    updated_at = now()
WHERE id = :job_id AND status IN ('uploading', 'queued', 'processing', 'aggregating')
