-- How the queue stands, by the rows that queue_metrics.sql counts, and how many chunks were completed since the sample
-- before: of ten minutes at most, as nobody knows when those of a longer pause were. A chunk that a version took over
-- was completed by nobody. Only jobs under way or just over are looked through.
INSERT INTO fleet_samples (queued_chunks, processing_chunks, running_workers, completed_chunks)
WITH since AS (
    SELECT greatest(max(at) FILTER (WHERE at <= now()), now() - interval '10 minutes') AS at FROM fleet_samples
), touched AS (
    SELECT id FROM video_analysis_jobs WHERE status IN ('queued', 'processing')
    UNION ALL
    SELECT id FROM video_analysis_jobs WHERE status = 'aggregating'
    UNION ALL
    SELECT id FROM video_analysis_jobs, since
    WHERE status IN ('done', 'failed', 'cancelled') AND completed_at > since.at
)
SELECT (SELECT count(*) FROM video_analysis_chunks WHERE status = 'queued' AND NOT on_hold AND deep_mode = 'gpu'),
       (
           -- @gpu_in_work
       ),
       (SELECT count(*) FROM workers
        WHERE kind = 'gpu_chunk_worker'
          AND seen_at BETWEEN now() - make_interval(secs => :silent_seconds) AND now() + interval '1 minute'),
       (SELECT count(*) FROM touched
        JOIN video_analysis_chunks c ON c.job_id = touched.id
        CROSS JOIN since
        WHERE c.status = 'completed' AND c.completed_at > since.at AND c.attempts > 0 AND c.deep_mode = 'gpu')
ON CONFLICT (at) DO NOTHING
