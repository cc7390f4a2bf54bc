-- Seconds of video that one worker gets through in a second: the median of the chunks that were completed lately, of
-- pictures about as large. Adopted chunks cost nothing and say nothing; those are the ones that were over at once.
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY (recent.end_sec - recent.start_sec) * 1000 / recent.runtime_ms) AS pace
FROM (
    SELECT c.start_sec, c.end_sec, c.runtime_ms
    FROM video_analysis_jobs j
    JOIN video_analysis_chunks c ON c.job_id = j.id
    WHERE j.id IN (
        SELECT id FROM video_analysis_jobs
        WHERE kind = :kind AND deep_mode = :deep_mode AND completed_chunks > 0 AND version_of IS NULL -- versions detect nothing
          AND width::bigint * height BETWEEN :pixels / 2 AND :pixels * 2
        ORDER BY created_at DESC
        LIMIT 20)
      AND c.phase = :phase AND c.status = 'completed' AND c.runtime_ms > 200 AND c.end_sec > c.start_sec
    ORDER BY c.completed_at DESC
    LIMIT 200
) recent
