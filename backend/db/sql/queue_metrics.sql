-- The queue's figures for autoscaling and alarms, in one snapshot. Each count reads a partial index of what is live or
-- ended lately, never the finished chunks of years. Chunks of deep_mode cpu
-- are no work for the GPU fleet, and those of a paused job are none for anybody.
-- wanted_workers: how many the autoscaler has asked for, those that still start included; NULL where nobody knows.
WITH queued AS (
    SELECT count(*) AS n, min(available_at) FILTER (WHERE available_at <= now()) AS oldest_at
    FROM video_analysis_chunks
    WHERE status = 'queued' AND NOT on_hold AND deep_mode = 'gpu'
), working AS (
    -- @gpu_in_work
), backlog AS (
    -- @gpu_backlog
), ended AS (
    SELECT id, status, total_chunks, version_of
    FROM video_analysis_jobs
    WHERE status IN ('done', 'failed', 'cancelled')
      AND completed_at > now() - make_interval(secs => :window_seconds)
), outcomes AS (
    -- A job that is done has no chunk that failed, so only the others' chunks are looked at.
    -- Chunks that were only stopped because their job was over did not fail.
    -- What a version took over was never claimed, and is no work done.
    SELECT count(*) FILTER (WHERE c.status = 'completed' AND (c.attempts > 0 OR ended.version_of IS NULL)) AS completed,
           count(*) FILTER (WHERE ended.status = 'failed' AND c.status = 'failed'
                            AND c.error_code NOT IN ('job_failed', 'job_cancelled')) AS failed
    FROM ended
    JOIN video_analysis_chunks c ON c.job_id = ended.id
    WHERE ended.status <> 'done'
), taken AS (
    SELECT count(*) AS chunks
    FROM ended
    JOIN video_analysis_chunks c ON c.job_id = ended.id
    WHERE ended.status = 'done' AND ended.version_of IS NOT NULL AND c.attempts = 0
), joining AS (
    -- How long the job that waits longest for its film has been cut, detected and ready.
    SELECT min(ready.at) AS oldest_at
    FROM video_analysis_jobs j
    CROSS JOIN LATERAL (
        SELECT max(c.completed_at) AS at FROM video_analysis_chunks c WHERE c.job_id = j.id
    ) ready
    WHERE j.status = 'aggregating'
), running AS (
    SELECT count(*) AS n
    FROM workers
    WHERE kind = 'gpu_chunk_worker'
      AND seen_at BETWEEN now() - make_interval(secs => :silent_seconds) AND now() + interval '1 minute'
), wanted AS (
    SELECT CAST(:wanted_workers AS integer) AS n
), claimable AS (
    -- While the fleet is paused nobody may claim, so what is queued asks for no capacity.
    SELECT CASE WHEN EXISTS (SELECT FROM fleet WHERE paused_at IS NOT NULL) THEN 0 ELSE queued.n END AS n
    FROM queued
)
SELECT queued.n AS queued_chunks,
       working.chunks AS processing_chunks,
       outcomes.failed AS failed_chunks,
       outcomes.completed - taken.chunks
           + (SELECT coalesce(sum(total_chunks), 0) FROM ended WHERE status = 'done') AS completed_chunks,
       coalesce(extract(epoch FROM now() - queued.oldest_at), 0) AS oldest_queued_seconds,
       coalesce(extract(epoch FROM now() - joining.oldest_at), 0) AS oldest_aggregation_seconds,
       -- By the wanted ones too: by those that run alone, the same backlog would ask for more and more workers until
       -- the first of them have started.
       CAST(backlog.chunks AS float8) / greatest(running.n, wanted.n, 1) AS backlog_per_worker,
       -- One idle worker counts as busy, so that the share never asks for the last one, nor for more than there are.
       CAST(least(working.chunks + 1, greatest(running.n, wanted.n, 1)) AS float8) / greatest(running.n, wanted.n, 1)
           AS busy_share,
       CASE WHEN coalesce(wanted.n, running.n) = 0 THEN claimable.n ELSE 0 END AS queued_without_workers,
       EXISTS (SELECT FROM fleet WHERE paused_at IS NOT NULL) AS is_paused
FROM queued, working, backlog, outcomes, taken, joining, running, wanted, claimable
