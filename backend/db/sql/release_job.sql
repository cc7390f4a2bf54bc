UPDATE video_analysis_jobs
SET available_at = now(), lease_expires_at = NULL, claimed_by = NULL, updated_at = now()
WHERE id = :job_id AND status = :status AND attempts = :attempts AND lease_expires_at IS NOT NULL
RETURNING id
