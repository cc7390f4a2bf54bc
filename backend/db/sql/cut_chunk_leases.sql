-- Leases from before the database's clock was set back (a failover): they would run out as much later. From now on they
-- have as long as any other; the next heartbeat of a worker that lives renews them.
-- Workers of one fleet may differ in LEASE_SECONDS: what reaches no more than five minutes further than ours is theirs.
UPDATE video_analysis_chunks
SET lease_expires_at = now() + make_interval(secs => :lease_seconds)
WHERE id IN (
    SELECT id FROM video_analysis_chunks
    WHERE status = 'processing' AND lease_expires_at > now() + make_interval(secs => :lease_seconds + 300)
    FOR UPDATE SKIP LOCKED
)
