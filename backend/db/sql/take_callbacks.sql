-- Jobs whose next callback is due, longest due first; nobody else takes them while this process tells.
-- Race: several workers look at once. The row's lock and the new time give each job to one of them; should that one die,
-- the job is due again after the hold.
UPDATE video_analysis_jobs j
SET callback_due_at = now() + make_interval(secs => :hold_seconds)
FROM (
    SELECT id FROM video_analysis_jobs
    WHERE callback_due_at <= now()
    ORDER BY callback_due_at
    LIMIT :batch
    FOR UPDATE SKIP LOCKED
) due
WHERE j.id = due.id
RETURNING j.id
