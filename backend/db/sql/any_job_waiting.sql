-- Looks without claiming: is there a job to plan or to aggregate?
SELECT 1
FROM video_analysis_jobs
WHERE (status = 'aggregating' OR (status = 'queued' AND total_chunks IS NULL))
  AND (available_at <= now() OR available_at > now() + make_interval(secs => :cap_seconds + 60)) -- see claiming.sql
  AND lease_expires_at IS NULL
  AND paused_at IS NULL
  AND schema_version <= :schema_version AND kind = ANY(CAST(:kinds AS text[]))
  AND NOT EXISTS (SELECT FROM fleet WHERE paused_at IS NOT NULL)
LIMIT 1
