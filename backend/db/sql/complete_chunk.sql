-- The guarded finish. No row: someone else owns the chunk, or the job is over; the caller drops its work.
-- Race: a cancel commits between this statement's look at the job and its own commit. That is a completion just before
-- the cancel. Nothing of the job's row is locked: many chunks of a job finish at once.
-- more_queued: the job's last unfinished chunk has yet to be claimed. Whoever completes that one looks whether the job is
-- complete (advance_job.sql), so this worker need not. Should it do so before this commit is seen, the sweep starts the
-- aggregation (advance_finished.sql).
UPDATE video_analysis_chunks c
SET status = 'completed',
    progress = 1,
    artifact_s3_key = :artifact_key,
    artifact_sha256 = :artifact_sha256,
    runtime_ms = greatest(0, extract(epoch FROM clock_timestamp() - c.started_at) * 1000)::bigint, -- clocks are set back
    bytes_read = :bytes_read,
    completed_at = now(),
    lease_expires_at = NULL,
    error_code = NULL,
    error_message = NULL,
    last_event = 'chunk_completed'
FROM video_analysis_jobs j
WHERE c.id = :chunk_id AND c.status = 'processing' AND c.attempts = :attempts
  AND j.id = c.job_id AND j.status = 'processing'
RETURNING c.job_id, j.detector IS NULL AS detector_unknown, j.source_trouble_at IS NOT NULL AS on_probation, coalesce((
    SELECT o.status FROM video_analysis_chunks o WHERE o.job_id = c.job_id AND o.status <> 'completed'
    ORDER BY o.chunk_index DESC LIMIT 1
) = 'queued', false) AS more_queued
