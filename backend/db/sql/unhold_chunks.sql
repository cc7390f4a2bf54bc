-- Puts a resumed job's chunks back into the claim's index. They enter the lane anew, in their order: else what they fell
-- behind would all be claimed before anybody else's. The caller holds the job's lock.
-- SKIP LOCKED: whoever holds a chunk that is on hold is ending the job (stop_queued_chunks.sql).
UPDATE video_analysis_chunks c
SET on_hold = false, claim_rank = :first_rank + held.number * :stride
FROM (
    SELECT id, row_number() OVER (ORDER BY claim_rank, id) - 1 AS number
    FROM (
        SELECT id, claim_rank FROM video_analysis_chunks
        WHERE job_id = :job_id AND status <> 'completed' AND status = 'queued' AND on_hold
        FOR UPDATE SKIP LOCKED
    ) locked
) held
WHERE c.id = held.id
RETURNING c.deep_mode, c.tenant, c.claim_rank
