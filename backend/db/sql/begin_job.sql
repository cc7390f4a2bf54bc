-- The first claim of a job starts it, in the claim's transaction. Two first claims at once: the guard lets one through.
UPDATE video_analysis_jobs
SET status = 'processing', stage = 'PROCESSING', started_at = coalesce(started_at, now()), updated_at = now()
WHERE id = :job_id AND status = 'queued'
