-- A job with what its chunks tell, in one question and one snapshot: this is asked most often of all.
SELECT j.*, now() AS asked_at, p.job_id IS NOT NULL AS has_chunks,
       p.progress AS chunks_progress, p.completed AS chunks_completed, p.failed AS chunks_failed,
       p.in_work AS chunks_in_work, p.left_sec AS chunks_left_sec, p.longest_left_sec AS chunks_longest_left_sec,
       p.pace AS chunks_pace, p.since_last_chunk_sec AS chunks_since_last_chunk_sec, p.due_at AS chunks_due_at, p.needs AS chunks_needs
FROM video_analysis_jobs j
LEFT JOIN (
    -- @job_progress
) p ON p.job_id = j.id
WHERE j.id = :job_id
