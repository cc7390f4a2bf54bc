-- Resuming a job that is not paused changes nothing.
UPDATE video_analysis_jobs
SET paused_at = NULL, updated_at = now()
WHERE id = :job_id AND status IN ('uploading', 'queued', 'processing', 'aggregating')
