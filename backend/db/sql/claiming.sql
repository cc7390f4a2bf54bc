-- The claim, as a part of claim_chunk.sql and complete_and_claim.sql.
-- Race: many workers ask at once. SKIP LOCKED gives each another row; the raised `attempts` fences off whoever held the
-- row before. A cancel that commits in between leaves the job out of 'processing', which the first heartbeat notices.
-- The lanes stand in order of their first claimable chunk, found by one index probe each and without a lock; the first
-- lane that yields a row ends the search. A probe begins at the lane's floor, past the index entries of claims that no
-- vacuum could remove yet. The full lanes are those that this claim found at their cap a moment ago
-- (keep_within_cap in queue/lanes.py). A job of a kind or a version that this worker does not know waits for one that does.
-- A clock that was set back (a failover) must not stop the claims: no pause is longer than the cap of the backoff, so a
-- chunk that is due later than that was given its time by another clock, and is due.
candidate AS (
    SELECT c.id, heads.max_in_work, heads.is_stale
    FROM (
        SELECT l.deep_mode, l.tenant, l.floor_rank, coalesce(l.max_in_work, :tenant_cap) AS max_in_work,
               l.raised_at NOT BETWEEN now() - interval '1 second' AND now() + interval '1 minute' AS is_stale, head.claim_rank, head.id
        FROM queue_lanes l
        CROSS JOIN LATERAL (
            SELECT c.claim_rank, c.id
            FROM video_analysis_chunks c
            WHERE c.deep_mode = l.deep_mode AND c.tenant = l.tenant AND c.status = 'queued' AND NOT c.on_hold
              AND c.claim_rank >= l.floor_rank
              AND (c.needs IS NULL OR c.needs = ANY (CAST(:has AS text[])))
              AND (c.available_at <= now() OR c.available_at > now() + make_interval(secs => :cap_seconds + 60))
              -- +of_job AND c.job_id = :job_id
              AND (SELECT j.status IN ('queued', 'processing') AND j.paused_at IS NULL
                          AND j.schema_version <= :schema_version AND j.kind = ANY(CAST(:kinds AS text[]))
                   FROM video_analysis_jobs j WHERE j.id = c.job_id)
            ORDER BY c.claim_rank, c.id
            LIMIT 1
        ) head
        WHERE l.deep_mode = :deep_mode
          AND l.floor_rank IS NOT NULL
          AND l.tenant <> ALL (CAST(:full AS text[]))
          AND NOT EXISTS (SELECT FROM fleet WHERE paused_at IS NOT NULL)
          -- +finishing AND EXISTS (SELECT FROM finished)
        ORDER BY head.claim_rank, head.id
    ) heads
    CROSS JOIN LATERAL (
        SELECT c.id
        FROM video_analysis_chunks c
        WHERE c.deep_mode = heads.deep_mode AND c.tenant = heads.tenant AND c.status = 'queued' AND NOT c.on_hold
          AND c.claim_rank >= heads.floor_rank
          AND (c.needs IS NULL OR c.needs = ANY (CAST(:has AS text[])))
          AND (c.available_at <= now() OR c.available_at > now() + make_interval(secs => :cap_seconds + 60))
          -- +of_job AND c.job_id = :job_id
          AND (SELECT j.status IN ('queued', 'processing') AND j.paused_at IS NULL
                      AND j.schema_version <= :schema_version AND j.kind = ANY(CAST(:kinds AS text[]))
               FROM video_analysis_jobs j WHERE j.id = c.job_id)
          AND (heads.max_in_work IS NULL OR heads.max_in_work > (
               SELECT count(*) FROM video_analysis_chunks w
               WHERE w.deep_mode = heads.deep_mode AND w.tenant = heads.tenant AND w.status = 'processing'
               -- +finishing AND w.id <> :chunk_id
              ))
        ORDER BY c.claim_rank, c.id
        LIMIT 1
        FOR UPDATE SKIP LOCKED
    ) c
    LIMIT 1
), claimed AS (
    UPDATE video_analysis_chunks c
    SET status = 'processing',
        attempts = c.attempts + 1,
        claimed_by = :worker_id,
        lease_expires_at = now() + make_interval(secs => :lease_seconds),
        started_at = now(),
        last_event = 'chunk_claimed'
    FROM candidate
    WHERE c.id = candidate.id
    RETURNING c.id AS chunk_id, c.job_id, c.attempts, c.phase, c.chunk_index, c.phase_chunks, c.start_pts, c.end_pts, c.deep_mode,
              c.tenant, candidate.max_in_work, candidate.is_stale
), begun AS (
    UPDATE video_analysis_jobs j
    SET status = 'processing', stage = coalesce(j.phase_plan ->> 'stage', 'PROCESSING'), started_at = coalesce(j.started_at, now()), updated_at = now()
    WHERE j.id = (SELECT job_id FROM claimed)
      AND coalesce(j.status, '') = 'queued' -- in words that keep the planner from the index of all live jobs
)
