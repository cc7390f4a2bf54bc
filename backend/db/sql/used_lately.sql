-- What a tenant's jobs of the last 24 hours used, without the one named: the size of their sources; their frames, from
-- the length where the container does not count them; what their completed chunks took of workers' time. It is free
-- again when the oldest of them is a day old.
SELECT coalesce(sum(j.source_size), 0)::bigint AS bytes,
       coalesce(sum(coalesce(j.frame_count, round(j.duration_seconds * j.fps_num / nullif(j.fps_den, 0)))), 0)::bigint AS frames,
       CASE WHEN :counts_cpu THEN (
           SELECT coalesce(sum(c.runtime_ms), 0) / 1000.0
           FROM video_analysis_jobs made
           JOIN video_analysis_chunks c ON c.job_id = made.id
           WHERE made.tenant = :tenant AND made.created_at > now() - interval '1 day'
             AND made.id IS DISTINCT FROM CAST(:job_id AS uuid)
       )::float8 END AS cpu_seconds,
       min(j.created_at) + interval '1 day' AS frees_at
FROM video_analysis_jobs j
WHERE j.tenant = :tenant AND j.created_at > now() - interval '1 day' AND j.id IS DISTINCT FROM CAST(:job_id AS uuid)
  AND j.source_size IS NOT NULL
