UPDATE video_analysis_chunks
SET status = 'queued', failures = 0, available_at = now(), error_code = NULL, error_message = NULL
WHERE job_id = :job_id AND status = 'failed'
