-- Before a job is made that rests on this one's objects: until the new one is there, nobody marks this one for deletion
-- (mark_expired_jobs.sql). No row: it is being deleted, or gone.
-- Race: two versions are made at once. The later one waits here, and counts on from the earlier one.
SELECT id
FROM video_analysis_jobs
WHERE id = :job_id AND (expires_at IS NULL OR expires_at > now())
FOR UPDATE
