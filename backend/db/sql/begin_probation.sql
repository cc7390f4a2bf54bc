-- The job's source failed. Its row is locked from here on: of two chunks that fail at once, the later one sees what became of
-- the earlier. A paused job has its chunks on hold already.
UPDATE video_analysis_jobs
SET source_trouble_at = coalesce(source_trouble_at, now()), updated_at = now()
WHERE id = :job_id AND status IN ('queued', 'processing') AND paused_at IS NULL
RETURNING id
