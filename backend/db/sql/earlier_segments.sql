-- How the newest of the tenant's other jobs on the same source was cut, if it left artifacts: cut alike, they can be
-- adopted. A job that had no such phase is passed over.
SELECT c.chunk_index, c.start_pts, c.end_pts, c.start_sec, c.end_sec
FROM video_analysis_chunks c
WHERE c.job_id = (
    SELECT j.id
    FROM video_analysis_jobs own
    JOIN video_analysis_jobs j ON j.tenant = own.tenant AND j.id <> own.id AND j.deep_mode = own.deep_mode
    WHERE own.id = :job_id
      AND CAST(:source_etag AS text) NOT LIKE 'size-%'
      AND j.source_etag = :source_etag AND j.source_size = :source_size AND j.completed_chunks > 0
      AND (coalesce(j.input_sha256, j.input_uri) = coalesce(own.input_sha256, own.input_uri) OR (starts_with(j.input_uri, 's3://') AND starts_with(own.input_uri, 's3://')))
      AND EXISTS (SELECT FROM video_analysis_chunks d WHERE d.job_id = j.id AND d.phase = :phase)
    ORDER BY j.created_at DESC
    LIMIT 1)
  AND c.phase = :phase
ORDER BY c.chunk_index
