-- The lane's floor becomes the rank of its first queued chunk, due or not; null when none is queued. The caller holds the
-- lane's lock. Looked for from the old floor, which is right as long as everybody lowers it, and in a check from the
-- lane's start, so that a chunk queued by hand is found too.
UPDATE queue_lanes l
SET floor_rank = (
        SELECT c.claim_rank
        FROM video_analysis_chunks c
        WHERE c.deep_mode = :deep_mode AND c.tenant = :tenant AND c.status = 'queued' AND NOT c.on_hold
          AND c.claim_rank >= coalesce(CAST(:from_rank AS bigint), -9223372036854775808)
        ORDER BY c.claim_rank, c.id
        LIMIT 1
    ),
    raised_at = now(),
    checked_at = CASE WHEN :from_the_start THEN now() ELSE l.checked_at END
WHERE l.deep_mode = :deep_mode AND l.tenant = :tenant
