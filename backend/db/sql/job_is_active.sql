-- Whether somebody who lives works on the job: on its chunks, or on what takes them up. A plan is no work yet.
SELECT EXISTS (
    SELECT FROM video_analysis_chunks
    WHERE job_id = :job_id AND status = 'processing' AND lease_expires_at > now()
) OR EXISTS (
    SELECT FROM video_analysis_jobs
    WHERE id = :job_id AND status = 'aggregating' AND lease_expires_at > now()
) AS is_active
