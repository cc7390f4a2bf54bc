-- What found the people, from the job's first completed chunk. One write a job, not one a chunk.
UPDATE video_analysis_jobs SET detector = CAST(:detector AS jsonb) WHERE id = :job_id AND detector IS NULL
RETURNING id
