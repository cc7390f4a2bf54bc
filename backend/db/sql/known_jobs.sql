SELECT id FROM video_analysis_jobs WHERE id = ANY(:job_ids)
