SELECT 1 FROM video_analysis_jobs WHERE id = :job_id FOR UPDATE
