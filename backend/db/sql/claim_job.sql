-- Claims a job for the work that needs the whole of it: planning (status queued, no chunks yet) or aggregation.
-- A server that drips keeps a planner for as long as it may. So of the plans behind URLs that have taken long already, one
-- host has :slow_of_host of a tenant's and one tenant :slow_of_tenant in all, and fewer where the next one is a second
-- try, which may take longer; their next ones wait, and nobody else's.
WITH slow AS (
    SELECT tenant, lower(split_part(input_uri, '/', 3)) AS host
    FROM video_analysis_jobs
    WHERE status = 'queued' AND total_chunks IS NULL AND lease_expires_at IS NOT NULL
      AND claimed_at < now() - make_interval(secs => :slow_seconds)
      AND input_uri ~* '^https?://'
),
candidate AS (
    SELECT id
    FROM video_analysis_jobs waiting
    WHERE status = :status
      AND (status <> 'queued' OR total_chunks IS NULL)
      AND (available_at <= now() OR available_at > now() + make_interval(secs => :cap_seconds + 60)) -- see claiming.sql
      AND lease_expires_at IS NULL
      AND paused_at IS NULL
      AND schema_version <= :schema_version AND kind = ANY(CAST(:kinds AS text[]))
      AND NOT EXISTS (SELECT FROM fleet WHERE paused_at IS NOT NULL)
      AND (CAST(:job_id AS uuid) IS NULL OR id = CAST(:job_id AS uuid))
      AND (status <> 'queued' OR input_uri !~* '^https?://' OR (
          SELECT count(*) < CASE WHEN waiting.failures = 0 THEN :slow_of_tenant ELSE :slow_of_host END
             AND count(*) FILTER (WHERE host = lower(split_part(waiting.input_uri, '/', 3))) < :slow_of_host
          FROM slow WHERE slow.tenant = waiting.tenant))
    ORDER BY priority DESC, created_at
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
UPDATE video_analysis_jobs j
SET attempts = j.attempts + 1,
    -- A kind without chunks begins here; else the first chunk did.
    started_at = CASE WHEN j.status = 'aggregating' THEN coalesce(j.started_at, now()) ELSE j.started_at END,
    claimed_by = :worker_id,
    claimed_at = now(),
    lease_expires_at = now() + make_interval(secs => :lease_seconds),
    updated_at = now()
FROM candidate
WHERE j.id = candidate.id
RETURNING j.id AS job_id, j.attempts, j.status, j.kind, j.params, j.input_uri, j.input_name, j.deep_mode, j.tenant, j.priority,
          j.source_etag, j.source_size, j.probe, j.output_uri, j.output_put_url, j.output_ending, j.keeps_existing, j.failures,
          j.total_chunks, j.trace_context, j.phase, j.phase_plan, j.version_of, j.source_job
