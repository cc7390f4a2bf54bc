-- Seconds that the last films of a kind took, from stitching to upload, for a second of video: what a job that is still
-- detected will need at its end.
SELECT percentile_cont(0.5) WITHIN GROUP (
    ORDER BY (coalesce((timings ->> 'stitch_and_path')::float8, 0) + (timings ->> 'render')::float8
              + coalesce((timings ->> 'upload')::float8, 0)) / duration_seconds
) AS pace
FROM (
    SELECT timings, duration_seconds
    FROM video_analysis_jobs
    WHERE status IN ('done', 'failed', 'cancelled') AND status = 'done' AND kind = :kind
    ORDER BY completed_at DESC
    LIMIT 20
) latest
WHERE duration_seconds > 0 AND timings ->> 'render' IS NOT NULL
