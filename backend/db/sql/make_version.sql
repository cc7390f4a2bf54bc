-- A job that goes on from the finished chunks of another, at the step that takes them up. The caller holds the lock of the
-- family's first job (lock_source.sql), so the number is its own. No row: the idempotency key belongs to another job.
INSERT INTO video_analysis_jobs (
    id, tenant, kind, status, stage, deep_mode, priority, params, input_uri, input_sha256, input_name, source_etag, source_size,
    keeps_existing, output_ending, probe, duration_seconds, fps_num, fps_den, width, height, rotation, frame_count, has_audio,
    phase, total_chunks, completed_chunks, schema_version, detector, idempotency_key, request_sha256, trace_context,
    webhook_url, webhook_events, version_of, version, source_job
)
SELECT :id, p.tenant, p.kind, 'aggregating', 'AGGREGATING', p.deep_mode, p.priority, CAST(:params AS jsonb), p.input_uri,
       p.input_sha256, p.input_name, p.source_etag, p.source_size, true, :output_ending, p.probe, p.duration_seconds, p.fps_num,
       p.fps_den, p.width, p.height, p.rotation, p.frame_count, p.has_audio, :phase, :chunks, :chunks,
       greatest(p.schema_version, :schema_version), p.detector, :idempotency_key, :request_sha256, :trace_context,
       :webhook_url, CAST(:webhook_events AS text[]), root.id,
       1 + (SELECT coalesce(max(version), 1) FROM video_analysis_jobs WHERE version_of = root.id),
       coalesce(root.source_job, root.id)
FROM video_analysis_jobs p
JOIN video_analysis_jobs root ON root.id = coalesce(p.version_of, p.id)
WHERE p.id = :parent_id AND (p.expires_at IS NULL OR p.expires_at > now())
ON CONFLICT (tenant, idempotency_key) DO NOTHING
RETURNING id
