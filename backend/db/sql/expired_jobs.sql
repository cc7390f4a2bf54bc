-- Marked jobs, longest marked first. Not locked: deleting objects takes long, and two janitors at one job do no harm.
SELECT j.id
FROM video_analysis_jobs j
WHERE j.expires_at <= now() AND j.status IN ('done', 'failed', 'cancelled')
  AND
  -- @nobody_rests_on
ORDER BY j.expires_at
LIMIT :batch
