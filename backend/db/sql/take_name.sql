-- From now on the film's name is this job's, on its later tries too. Guarded: a stale aggregator takes none.
UPDATE video_analysis_jobs
SET output_uri = :output_uri,
    updated_at = now()
WHERE id = :job_id AND status = 'aggregating' AND attempts = :attempts AND lease_expires_at IS NOT NULL
