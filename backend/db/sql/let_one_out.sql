-- One chunk of a job on probation may be claimed, unless one is in work or may be claimed already: the one that failed most
-- often, so that a source that is gone ends its job soon. The caller holds the job's lock.
UPDATE video_analysis_chunks
SET on_hold = false
WHERE id = (
    SELECT id FROM video_analysis_chunks
    WHERE job_id = :job_id AND status <> 'completed' AND status = 'queued' AND on_hold
    ORDER BY failures DESC, chunk_index
    LIMIT 1
    FOR UPDATE SKIP LOCKED
) AND NOT EXISTS (
    SELECT FROM video_analysis_chunks
    WHERE job_id = :job_id AND status <> 'completed' AND (status = 'processing' OR (status = 'queued' AND NOT on_hold))
)
RETURNING deep_mode, tenant, claim_rank
