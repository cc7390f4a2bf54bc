-- Seconds that the last jobs of a kind took after their first phase's chunks, for a second of video: what a job that is still
-- in them will need to its end.
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY latest.seconds / duration_seconds) AS pace
FROM (
    SELECT duration_seconds, (
        SELECT sum(part.value::float8) FROM jsonb_each_text(timings) part WHERE part.key <> 'wait' AND part.key <> ALL(CAST(:first_phases AS text[]))
    ) AS seconds
    FROM video_analysis_jobs
    WHERE status IN ('done', 'failed', 'cancelled') AND status = 'done' AND kind = :kind
    ORDER BY completed_at DESC
    LIMIT 20
) latest
WHERE duration_seconds > 0 AND seconds IS NOT NULL
