-- Jobs that no living worker may claim, for none knows their kind or their version; by kind and version. Where no worker
-- lives at all that is another alarm. The partial indexes of live jobs, as in jobs_by_status.sql.
WITH live AS MATERIALIZED (
    SELECT knows, schema_version FROM workers WHERE seen_at > now() - make_interval(secs => :silent_seconds)
), waiting AS (
    SELECT kind, schema_version FROM video_analysis_jobs
    WHERE status IN ('queued', 'processing') AND paused_at IS NULL
    UNION ALL
    SELECT kind, schema_version FROM video_analysis_jobs WHERE status = 'aggregating' AND paused_at IS NULL
)
SELECT waiting.kind, waiting.schema_version, count(*) AS jobs
FROM waiting
WHERE EXISTS (SELECT FROM live)
  AND NOT EXISTS (
      SELECT FROM live WHERE waiting.kind = ANY(live.knows) AND waiting.schema_version <= live.schema_version
  )
GROUP BY waiting.kind, waiting.schema_version
ORDER BY waiting.kind, waiting.schema_version
