-- With what each holds right now; the newest first.
SELECT r.id, r.name, r.created_at, r.revoked_at, r.last_seen_at, (
    SELECT count(*) FROM video_analysis_chunks c
    WHERE c.status = 'processing' AND starts_with(c.claimed_by, 'remote-' || r.id || '/')
) AS chunks_in_work
FROM remote_workers r
ORDER BY r.id DESC
LIMIT :limit
