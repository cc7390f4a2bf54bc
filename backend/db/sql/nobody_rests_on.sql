-- No other job stands on the objects of job j: on its chunks' (a version), on its source's (a version, or one that was run
-- again). Each in the words of a partial index.
NOT EXISTS (SELECT FROM video_analysis_jobs d WHERE d.version_of = j.id)
AND NOT EXISTS (SELECT FROM video_analysis_jobs d WHERE d.source_job = j.id)
