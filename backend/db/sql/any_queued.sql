SELECT 1
FROM video_analysis_chunks c
JOIN video_analysis_jobs j ON j.id = c.job_id
WHERE c.status = 'queued' AND j.deep_mode = :deep_mode AND j.status IN ('queued', 'processing')
LIMIT 1
