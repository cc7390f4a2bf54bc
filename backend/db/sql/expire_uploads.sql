-- Uploads that nobody goes on with are cancelled.
-- Race: the upload is completed just now. The row's lock decides: then its status is another one and it is left alone.
-- `expires_at` lets the deletion take the row a day later, and what the caller of this could not remove any more.
UPDATE video_analysis_jobs j
SET status = 'cancelled',
    completed_at = now(),
    expires_at = now() + interval '1 day',
    error_code = 'upload_expired',
    error_message = 'The upload was not finished in time: upload the video again.',
    error_retryable = false,
    updated_at = now()
FROM (
    SELECT id FROM video_analysis_jobs
    WHERE status = 'uploading' AND updated_at < now() - make_interval(secs => :idle_seconds)
    LIMIT :batch
    FOR UPDATE SKIP LOCKED
) abandoned
WHERE j.id = abandoned.id
RETURNING j.id
