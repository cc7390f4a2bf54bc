-- Marked jobs, longest marked first. Not locked: deleting objects takes long, and two janitors at one job do no harm.
SELECT id
FROM video_analysis_jobs
WHERE expires_at <= now() AND status IN ('done', 'failed', 'cancelled')
ORDER BY expires_at
LIMIT :batch
