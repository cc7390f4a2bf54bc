-- The lanes that have work, the fullest first. By way of the jobs under way: chunks on hold are in no index of their own.
SELECT c.deep_mode, c.tenant,
       count(*) FILTER (WHERE c.status = 'queued' AND NOT c.on_hold) AS queued,
       count(*) FILTER (WHERE c.status = 'processing') AS processing,
       count(*) FILTER (WHERE c.status = 'queued' AND c.on_hold) AS on_hold,
       extract(epoch FROM now() - min(c.available_at)
               FILTER (WHERE c.status = 'queued' AND NOT c.on_hold AND c.available_at <= now())) AS oldest_queued_seconds
FROM video_analysis_jobs j
JOIN video_analysis_chunks c ON c.job_id = j.id
WHERE j.status IN ('queued', 'processing') AND c.status <> 'completed' AND c.status IN ('queued', 'processing')
GROUP BY c.deep_mode, c.tenant
ORDER BY count(*) DESC, c.deep_mode, c.tenant
LIMIT :limit
