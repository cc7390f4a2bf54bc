-- Uploads that nobody went on with are aborted. Race: a part, `complete` or a job just now: the row's lock decides.
UPDATE uploads u
SET state = 'aborted'
FROM (
    SELECT id FROM uploads
    WHERE state IN ('open', 'complete') AND expires_at < now()
    LIMIT :batch
    FOR UPDATE SKIP LOCKED
) abandoned
WHERE u.id = abandoned.id
RETURNING u.id
