-- Its objects could not be deleted: the others first. The mark stays in the past.
UPDATE video_analysis_jobs
SET expires_at = now()
WHERE id = :job_id AND expires_at <= now() AND status IN ('done', 'failed', 'cancelled')
