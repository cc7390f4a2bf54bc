-- The last step, after its chunks and in their transaction. Zero rows: another janitor was first.
DELETE FROM video_analysis_jobs
WHERE id = :job_id AND expires_at <= now() AND status IN ('done', 'failed', 'cancelled')
