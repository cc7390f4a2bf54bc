-- Whose objects below jobs/{id}/ are somebody's: a job's, or an upload's that may become one.
SELECT id FROM video_analysis_jobs WHERE id = ANY(:job_ids)
UNION
SELECT id FROM uploads WHERE id = ANY(:job_ids) AND state IN ('open', 'complete')
