-- A failed job goes on where it stopped: to planning, to its failed chunks, or to the aggregation alone.
-- The caller then puts the failed chunks back, in the same transaction.
UPDATE video_analysis_jobs j
SET status = CASE WHEN todo.completed = j.total_chunks THEN 'aggregating' ELSE 'queued' END,
    stage = CASE WHEN j.total_chunks IS NULL THEN 'PROBING'
                 WHEN todo.completed = j.total_chunks THEN 'AGGREGATING' ELSE 'DEEP_QUEUED' END,
    completed_chunks = todo.completed,
    failures = 0,
    put_backs = 0,
    source_trouble_at = NULL,
    available_at = now(),
    completed_at = NULL,
    lease_expires_at = NULL,
    claimed_by = NULL,
    error_code = NULL,
    error_message = NULL,
    error_retryable = NULL,
    expires_at = NULL,
    callback_due_at = CASE WHEN callback_url IS NOT NULL THEN now() END,
    callback_failures = 0,
    updated_at = now()
FROM (
    SELECT count(*) FILTER (WHERE status = 'completed') AS completed
    FROM video_analysis_chunks WHERE job_id = :job_id
) todo
WHERE j.id = :job_id AND j.status = 'failed'
  AND (j.expires_at IS NULL OR j.expires_at > now())  -- else the janitor is deleting its objects
