-- Where chunks that enter a lane now stand in the claim's order: start-time fair queuing.
-- They start where the fleet is now (the largest position in work, else the first one queued), so they do not wait for
-- what others queued before, and do not pass what others are at. `rivals` are the tenant's other jobs that wait: chunk k
-- stands at start + rivals + k * (rivals + 1), so that the jobs of one tenant interleave.
-- Only a hint for order: nothing is locked.
SELECT coalesce(
           (SELECT max(c.claim_rank) FROM video_analysis_chunks c
            WHERE c.status = 'processing' AND c.deep_mode = :deep_mode AND c.priority = :priority),
           (SELECT min(head.claim_rank)
            FROM queue_lanes l
            CROSS JOIN LATERAL (
                SELECT c.claim_rank FROM video_analysis_chunks c
                WHERE c.deep_mode = l.deep_mode AND c.tenant = l.tenant AND c.status = 'queued' AND NOT c.on_hold
                  AND c.claim_rank >= -CAST(:priority AS bigint) * 1000000000000
                  AND c.claim_rank < (1 - CAST(:priority AS bigint)) * 1000000000000
                ORDER BY c.claim_rank, c.id LIMIT 1
            ) head
            WHERE l.deep_mode = :deep_mode AND l.floor_rank IS NOT NULL),
           -CAST(:priority AS bigint) * 1000000000000) AS start_rank,
       (SELECT count(*) FROM (
            SELECT FROM video_analysis_jobs j
            WHERE j.tenant = :tenant AND j.deep_mode = :deep_mode AND j.status IN ('queued', 'processing')
              AND j.id <> :job_id
              AND EXISTS (SELECT FROM video_analysis_chunks c WHERE c.job_id = j.id AND c.status <> 'completed'
                                                                AND c.status = 'queued')
            LIMIT 1000
        ) waiting) AS rivals
