-- The chunks that ended the jobs which failed last, newest first; not those that were stopped because their job was over.
SELECT j.input_name, j.tenant AS job_tenant, c.*
FROM (
    SELECT id, input_name, tenant, completed_at
    FROM video_analysis_jobs
    WHERE status = 'failed' AND status IN ('done', 'failed', 'cancelled') -- as the index of what is over has it
      AND completed_at > now() - make_interval(days => :days)
    ORDER BY completed_at DESC
    LIMIT :limit
) j
JOIN video_analysis_chunks c ON c.job_id = j.id
WHERE c.status <> 'completed' AND c.status = 'failed' AND c.error_code NOT IN ('job_failed', 'job_cancelled')
ORDER BY j.completed_at DESC, c.job_id, c.chunk_index
LIMIT :limit
