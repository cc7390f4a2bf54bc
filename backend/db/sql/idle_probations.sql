-- Jobs on probation of which nothing is in work and nothing may be claimed: the one chunk that was out has completed while the
-- job's probation began. Looked for among the live jobs, as their index says it.
SELECT j.id
FROM video_analysis_jobs j
WHERE j.status IN ('queued', 'processing') AND j.source_trouble_at IS NOT NULL AND j.paused_at IS NULL
  AND NOT EXISTS (
      SELECT FROM video_analysis_chunks c
      WHERE c.job_id = j.id AND c.status <> 'completed'
        AND (c.status = 'processing' OR (c.status = 'queued' AND NOT c.on_hold))
  )
LIMIT 100
