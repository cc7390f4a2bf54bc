-- Hands a job to the aggregator when its last chunk has completed.
-- Race: the last two chunks complete at once. Each looks after its own commit, so the later one sees both; if both see
-- both, the guard on the status lets one through. A worker that dies between its commit and this look, or that did not
-- look because a chunk was still queued that others claimed and completed before this one's commit, leaves a job without
-- an aggregation: advance_finished.sql starts that.
UPDATE video_analysis_jobs j
SET completed_chunks = (SELECT count(*) FROM video_analysis_chunks WHERE job_id = :job_id AND status = 'completed'),
    status = 'aggregating',
    stage = 'AGGREGATING',
    available_at = now(),
    lease_expires_at = NULL,
    claimed_by = NULL,
    updated_at = now()
WHERE j.id = :job_id AND j.status = 'processing'
  -- Who waited here for long meets the job in its next phase, and sees the chunks as they were: then these are too few.
  AND j.total_chunks = (SELECT count(*) FROM video_analysis_chunks WHERE job_id = :job_id AND status = 'completed')
  AND (SELECT c.id FROM video_analysis_chunks c WHERE c.job_id = :job_id AND c.status <> 'completed'
       ORDER BY c.chunk_index DESC LIMIT 1) IS NULL
RETURNING j.status
