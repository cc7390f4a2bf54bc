-- Nothing more of the job is claimed; what is in work goes on. Pausing twice keeps the first time.
UPDATE video_analysis_jobs
SET paused_at = coalesce(paused_at, now()), updated_at = now()
WHERE id = :job_id AND status IN ('uploading', 'queued', 'processing', 'aggregating')
