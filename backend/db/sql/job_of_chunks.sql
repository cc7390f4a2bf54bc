-- What is the same for every chunk of a job. Nothing here changes once the job is cut into chunks, so a worker asks once.
SELECT total_chunks, kind, params, input_uri, source_etag, source_size, probe, trace_context
FROM video_analysis_jobs
WHERE id = :job_id
