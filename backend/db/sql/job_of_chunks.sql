-- What is the same for every chunk of a job's phase. Nothing here changes while any of them is claimed, so a worker asks once.
SELECT total_chunks, kind, params, phase_plan AS plan, input_uri, source_etag, source_size, probe, trace_context, source_job
FROM video_analysis_jobs
WHERE id = :job_id
