-- As release_chunks_of_worker.sql, for planning and aggregation.
UPDATE video_analysis_jobs
SET available_at = now(), lease_expires_at = NULL, claimed_by = NULL, updated_at = now()
WHERE status IN ('queued', 'aggregating') AND claimed_by = :worker_id AND lease_expires_at IS NOT NULL
RETURNING id AS job_id, attempts
