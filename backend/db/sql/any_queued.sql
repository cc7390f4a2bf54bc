SELECT 1
FROM queue_lanes l
CROSS JOIN LATERAL (
    SELECT c.id FROM video_analysis_chunks c
    WHERE c.deep_mode = l.deep_mode AND c.tenant = l.tenant AND c.status = 'queued' AND NOT c.on_hold
      AND c.claim_rank >= l.floor_rank
      AND (c.needs IS NULL OR c.needs = ANY (CAST(:has AS text[])))
      -- +of_job AND c.job_id = :job_id
      AND (SELECT j.status IN ('queued', 'processing') AND j.paused_at IS NULL
                  AND j.schema_version <= :schema_version AND j.kind = ANY(CAST(:kinds AS text[]))
           FROM video_analysis_jobs j WHERE j.id = c.job_id)
    LIMIT 1
) waiting
WHERE l.deep_mode = :deep_mode
LIMIT 1
