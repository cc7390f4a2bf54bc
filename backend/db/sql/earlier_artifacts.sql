-- Artifacts of the same piece of the same source that the tenant's other jobs left: candidates only, the worker compares
-- what is in them. S3's etag is made from the bytes, so there a copy elsewhere is the same source; else the URI decides.
SELECT c.artifact_s3_key, c.artifact_sha256
FROM video_analysis_jobs own
JOIN video_analysis_jobs j
  ON j.source_etag = own.source_etag AND j.source_size = own.source_size AND j.tenant = own.tenant AND j.id <> own.id
JOIN video_analysis_chunks c ON c.job_id = j.id
WHERE own.id = :job_id
  AND own.source_etag NOT LIKE 'size-%' -- what a server tells nothing about may be another film of that size
  AND (coalesce(j.input_sha256, j.input_uri) = coalesce(own.input_sha256, own.input_uri) OR (starts_with(j.input_uri, 's3://') AND starts_with(own.input_uri, 's3://')))
  AND c.phase = :phase AND coalesce(c.phase_chunks, j.total_chunks) = :phase_chunks
  AND c.chunk_index = :chunk_index AND c.start_pts = :start_pts AND c.end_pts = :end_pts
  AND c.status = 'completed' AND (c.attempts > 0 OR j.version_of IS NULL) -- those of versions are the same ones again
ORDER BY c.completed_at DESC
LIMIT 3
