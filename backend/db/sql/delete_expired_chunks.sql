-- The chunks of a marked job, before its row: a retry locks in that order too, so neither waits for the other.
DELETE FROM video_analysis_chunks
WHERE job_id = :job_id
  AND EXISTS (
    SELECT FROM video_analysis_jobs j
    WHERE j.id = :job_id AND j.expires_at <= now() AND j.status IN ('done', 'failed', 'cancelled')
  )
