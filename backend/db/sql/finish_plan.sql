-- The plan is made: the chunks follow in the same transaction. Guarded, so that one plan wins. A kind whose first phase
-- has no chunks goes on with the step that takes the whole.
UPDATE video_analysis_jobs
SET total_chunks = :total_chunks,
    status = CASE WHEN :total_chunks = 0 THEN 'aggregating' ELSE status END,
    stage = CASE WHEN :total_chunks = 0 THEN 'AGGREGATING' ELSE 'DEEP_QUEUED' END,
    phase = :phase,
    source_etag = :source_etag,
    source_size = :source_size,
    probe = CAST(:probe AS jsonb),
    duration_seconds = :duration_seconds,
    fps_num = :fps_num,
    fps_den = :fps_den,
    width = :width,
    height = :height,
    rotation = :rotation,
    frame_count = :frame_count,
    has_audio = :has_audio,
    failures = 0,
    error_code = NULL,
    error_message = NULL,
    error_retryable = NULL,
    schema_version = greatest(schema_version, :schema_version),
    lease_expires_at = NULL,
    claimed_by = NULL,
    updated_at = now()
WHERE id = :job_id AND status = 'queued' AND attempts = :attempts AND total_chunks IS NULL
  AND lease_expires_at IS NOT NULL
RETURNING paused_at IS NOT NULL AS is_paused
