-- A tenant's jobs that are not over. In two parts, each in the words of a partial index.
SELECT (SELECT count(*) FROM video_analysis_jobs
        WHERE tenant = :tenant AND status IN ('queued', 'processing'))
     + (SELECT count(*) FROM video_analysis_jobs
        WHERE tenant = :tenant AND status IN ('queued', 'aggregating') AND status = 'aggregating') AS open_jobs
