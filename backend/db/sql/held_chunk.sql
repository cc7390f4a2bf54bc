-- A claim and what belongs to it, for one who may act on it: who holds it is the same for as long as `attempts` is, so what
-- is asked here still holds when the guarded statement that follows finds its row.
SELECT c.id AS chunk_id, c.job_id, c.attempts, c.phase, c.chunk_index, coalesce(c.phase_chunks, j.total_chunks) AS phase_chunks,
       c.start_pts, c.end_pts, j.kind, j.params, j.phase_plan AS plan, j.input_uri, j.source_etag, j.source_size, j.probe,
       j.trace_context, j.source_job
FROM video_analysis_chunks c
JOIN video_analysis_jobs j ON j.id = c.job_id
WHERE c.id = :chunk_id AND c.attempts = :attempts AND c.status = 'processing' AND starts_with(c.claimed_by, :holder)
