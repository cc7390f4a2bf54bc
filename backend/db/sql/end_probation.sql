-- A chunk was completed: the source is there again. A job that was paused meanwhile keeps its chunks on hold.
UPDATE video_analysis_jobs
SET source_trouble_at = NULL, updated_at = now()
WHERE id = :job_id AND source_trouble_at IS NOT NULL
RETURNING deep_mode, tenant, priority, paused_at IS NOT NULL AS is_paused
