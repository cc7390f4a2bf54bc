-- Jobs under way, and those that ended lately with what ended them, at which stage. Three partial indexes, none of the jobs of years.
SELECT status, NULL AS error_code, NULL AS stage, count(*) AS jobs
FROM video_analysis_jobs
WHERE status IN ('queued', 'processing')
GROUP BY status
UNION ALL
SELECT status, NULL, NULL, count(*)
FROM video_analysis_jobs
WHERE status = 'aggregating'
GROUP BY status
UNION ALL
SELECT status, error_code, stage, count(*)
FROM video_analysis_jobs
WHERE status IN ('done', 'failed', 'cancelled')
  AND completed_at > now() - make_interval(secs => :window_seconds)
GROUP BY status, error_code, stage
