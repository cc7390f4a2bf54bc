-- Counts the job's completed chunks and, at the last one, hands the job to the aggregator.
-- Race: the last two chunks complete at once. The caller holds the job's row lock before this statement begins, so its
-- snapshot sees every completion that committed before; exactly one caller finds the full count.
UPDATE video_analysis_jobs j
SET completed_chunks = done.n,
    status = CASE WHEN done.n = j.total_chunks THEN 'aggregating' ELSE j.status END,
    stage = CASE WHEN done.n = j.total_chunks THEN 'AGGREGATING' ELSE j.stage END,
    available_at = CASE WHEN done.n = j.total_chunks THEN now() ELSE j.available_at END,
    detector = coalesce(CAST(:detector AS jsonb), j.detector),
    lease_expires_at = NULL,
    claimed_by = NULL,
    updated_at = now()
FROM (
    SELECT count(*) AS n FROM video_analysis_chunks WHERE job_id = :job_id AND status = 'completed'
) done
WHERE j.id = :job_id AND j.status = 'processing'
RETURNING j.status
