-- As cut_chunk_leases.sql, for planning and aggregation.
UPDATE video_analysis_jobs
SET lease_expires_at = now() + make_interval(secs => :lease_seconds), updated_at = now()
WHERE id IN (
    SELECT id FROM video_analysis_jobs
    WHERE status IN ('queued', 'aggregating') AND lease_expires_at > now() + make_interval(secs => :lease_seconds + 300)
    FOR UPDATE SKIP LOCKED
)
